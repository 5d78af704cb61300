-- What did our offers bring?
-- Of the offers whose days are over, by what made the list; under "all offers" what they brought over what would have come anyway.
SELECT
  model,
  protocol,
  max(value) FILTER (WHERE metric = 'offers') AS offers,
  round(max(value) FILTER (WHERE metric = 'hit_rate'), 4) AS hit_rate,
  round(max(value) FILTER (WHERE metric = 'conversion'), 4) AS conversion,
  round(max(value) FILTER (WHERE metric = 'revenue_per_offer'), 4) AS revenue_per_offer,
  round(max(ci_low) FILTER (WHERE metric = 'revenue_per_offer'), 4) AS revenue_low,
  round(max(ci_high) FILTER (WHERE metric = 'revenue_per_offer'), 4) AS revenue_high,
  round(max(value) FILTER (WHERE metric = 'lift_conversion'), 4) AS lift_conversion,
  round(max(value) FILTER (WHERE metric = 'lift_revenue'), 4) AS lift_revenue
FROM model_metrics
WHERE protocol LIKE 'feedback:%'
GROUP BY model, protocol
ORDER BY protocol, model
