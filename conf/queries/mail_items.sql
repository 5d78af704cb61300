-- Which items do I put into a mail to my champions?
-- For another segment change the two words; held-out customers get no mail, so they have no say.
SELECT
  r.item_id,
  i.title,
  count(*) AS customers,
  round(count(*) / max(everyone.customers), 3) AS share_of_segment,
  round(avg(r.rank), 1) AS mean_rank
FROM recommendations r
JOIN customer_segments s ON s.customer_id = r.customer_id AND s.segmentation = 'rfm' AND s.segment_id = 'champions'
CROSS JOIN (
  SELECT count(*) AS customers FROM customer_segments WHERE segmentation = 'rfm' AND segment_id = 'champions'
) everyone
LEFT JOIN items i ON i.item_id = r.item_id
WHERE NOT coalesce(r.held_out, false)
GROUP BY r.item_id, i.title
ORDER BY customers DESC, mean_rank, r.item_id
LIMIT 20
