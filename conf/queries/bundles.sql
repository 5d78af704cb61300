-- Which items belong in a bundle?
-- The rules worth telling over all orders: who buys the one side often takes the other, and not by chance.
WITH sides AS (
  SELECT rank, 'if' AS side, explode(antecedent) AS item_id FROM best_rules WHERE scope = 'all'
  UNION ALL
  SELECT rank, 'then' AS side, explode(consequent) AS item_id FROM best_rules WHERE scope = 'all'
),
named AS (
  SELECT
    rank,
    array_join(array_sort(collect_list(coalesce(title, item_id)) FILTER (WHERE side = 'if')), ' + ') AS who_buys,
    array_join(array_sort(collect_list(coalesce(title, item_id)) FILTER (WHERE side = 'then')), ' + ') AS also_buys,
    sum(price) AS price_of_all
  FROM sides
  LEFT JOIN items USING (item_id)
  GROUP BY rank
)
SELECT
  rank,
  who_buys,
  also_buys,
  r.orders,
  r.customers,
  round(r.confidence, 3) AS confidence,
  round(r.lift, 1) AS lift,
  price_of_all
FROM named
JOIN best_rules r USING (rank)
WHERE r.scope = 'all'
ORDER BY rank
LIMIT 20
