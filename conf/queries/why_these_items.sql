-- Why does a customer get these items?
-- Of the customer with the highest spend; for another put their id in the place of the subquery.
SELECT
  r.customer_id,
  r.rank,
  r.item_id,
  i.title,
  round(r.score, 4) AS score,
  r.model,
  r.reason,
  because.kind,
  because.text,
  round(because.weight, 4) AS weight
FROM recommendations r
LEFT JOIN items i ON i.item_id = r.item_id
LATERAL VIEW OUTER inline(r.reasons) because AS kind, other_item_id, rule, weight, text
WHERE r.customer_id = (SELECT max_by(customer_id, struct(monetary, customer_id)) FROM customer_features)
ORDER BY r.rank, weight DESC, because.text
