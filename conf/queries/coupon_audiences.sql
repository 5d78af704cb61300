-- Who gets a coupon for what?
-- Per item: those whom a rule speaks of and who have not bought it yet, and those most likely to want it by their own taste.
WITH by_rule AS (
  SELECT a.consequent[0] AS item_id, a.customer_id, max(r.confidence) AS confidence
  FROM rule_audiences a
  JOIN best_rules r ON r.scope = a.scope AND r.antecedent = a.antecedent AND r.consequent = a.consequent
  WHERE NOT a.has_consequent AND size(a.consequent) = 1
  GROUP BY ALL
),
by_taste AS (
  SELECT value AS item_id, customer_id, rank FROM audiences WHERE kind = 'item'
)
SELECT
  item_id,
  max(i.title) AS title,
  count(*) AS customers,
  count(by_rule.customer_id) AS by_rule,
  count(by_taste.customer_id) AS by_taste,
  count_if(by_rule.customer_id IS NOT NULL AND by_taste.customer_id IS NOT NULL) AS by_both,
  round(avg(by_rule.confidence), 3) AS mean_confidence
FROM by_rule
FULL JOIN by_taste USING (item_id, customer_id)
LEFT JOIN items i USING (item_id)
GROUP BY item_id
ORDER BY by_both DESC, customers DESC, item_id
LIMIT 20
