-- Who among those worth keeping is about to churn, and how do I reach them?
-- Customers in the upper two fifths of spend whose stage is at_risk or dormant, with the channel and time they answer best.
WITH reach AS (
  SELECT
    customer_id,
    max(value) FILTER (WHERE dimension = 'channel') AS channel,
    max(value) FILTER (WHERE dimension = 'weekday') AS weekday,
    max(value) FILTER (WHERE dimension = 'hour') AS hour
  FROM best_contact
  GROUP BY customer_id
)
SELECT
  customer_id,
  l.stage,
  l.reason,
  f.monetary AS spend,
  f.recency_days,
  round(l.p_alive, 3) AS p_alive,
  reach.channel,
  reach.weekday,
  reach.hour
FROM customer_lifecycle l
JOIN customer_features f USING (customer_id)
LEFT JOIN reach USING (customer_id)
WHERE l.stage IN ('at_risk', 'dormant') AND f.m_score >= 4
ORDER BY f.monetary DESC, customer_id
LIMIT 100
