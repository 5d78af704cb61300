-- Where, when and through which channels do my segments differ?
-- What a segment does far more than others: at least ten of its customers, and a quarter more often than everybody.
SELECT
  s.segment_name,
  c.dimension,
  c.value,
  c.customers,
  round(c.share, 3) AS share_of_segment,
  round(c.lift, 2) AS lift
FROM segment_context c
JOIN segment_profiles s USING (segmentation, segment_id)
WHERE c.segmentation = 'kmeans' AND c.customers >= 10 AND c.lift >= 1.25
ORDER BY s.revenue_share DESC NULLS LAST, s.segment_name, c.lift DESC, c.dimension, c.value
LIMIT 100
