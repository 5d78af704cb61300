-- Who moved where in the life cycle since the release before?
SELECT
  period_start,
  period_end,
  from_stage,
  to_stage,
  customers,
  round(share, 3) AS share_of_from,
  CASE
    WHEN from_stage = to_stage THEN 'stayed'
    WHEN to_stage IN ('at_risk', 'dormant', 'churned') THEN 'going'
    WHEN from_stage = 'unknown' THEN 'came'
    ELSE 'moved up'
  END AS direction
FROM lifecycle_transitions
ORDER BY from_stage = to_stage, customers DESC, from_stage, to_stage
