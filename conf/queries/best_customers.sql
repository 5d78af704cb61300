-- Who are my best customers, and what are they worth?
-- lifetime_value: what is expected of them within value.horizon_days; without an order clock it is null, and spend alone ranks.
SELECT
  customer_id,
  f.rfm_segment,
  l.stage,
  f.orders,
  f.monetary AS spend,
  f.recency_days,
  round(l.p_alive, 3) AS p_alive,
  round(l.lifetime_value, 2) AS lifetime_value,
  round(f.monetary / sum(f.monetary) OVER (), 4) AS share_of_all_spend
FROM customer_features f
LEFT JOIN customer_lifecycle l USING (customer_id)
ORDER BY l.lifetime_value DESC NULLS LAST, f.monetary DESC, customer_id
LIMIT 20
