-- Which connections between items are new, gone, stronger or weaker since the release before?
SELECT
  change,
  array_join(antecedent, ' + ') AS who_buys,
  array_join(consequent, ' + ') AS also_buys,
  round(lift_before, 2) AS lift_before,
  round(lift_now, 2) AS lift_now,
  round(relative_change, 3) AS relative_change
FROM rule_changes
WHERE scope = 'all'
ORDER BY
  CASE change WHEN 'new' THEN 1 WHEN 'gone' THEN 2 WHEN 'up' THEN 3 ELSE 4 END,
  abs(coalesce(relative_change, coalesce(lift_now, 0) - coalesce(lift_before, 0))) DESC,
  who_buys,
  also_buys
LIMIT 100
