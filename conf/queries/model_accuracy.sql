-- How good are the models, and whom and what do they reach?
-- On what customers came to after the split; precision to diversity are of lists of the length that is served.
SELECT
  model,
  bool_or(chosen) AS serves_next,
  k AS list_length,
  round(max(value) FILTER (WHERE metric = 'ndcg'), 4) AS ndcg,
  round(max(ci_low) FILTER (WHERE metric = 'ndcg'), 4) AS ndcg_low,
  round(max(ci_high) FILTER (WHERE metric = 'ndcg'), 4) AS ndcg_high,
  round(max(value) FILTER (WHERE metric = 'precision'), 4) AS precision,
  round(max(value) FILTER (WHERE metric = 'recall'), 4) AS recall,
  round(max(value) FILTER (WHERE metric = 'hit_rate'), 4) AS hit_rate,
  round(max(value) FILTER (WHERE metric = 'item_coverage'), 4) AS item_coverage,
  round(max(value) FILTER (WHERE metric = 'customer_coverage'), 4) AS customer_coverage
FROM model_metrics
WHERE protocol NOT LIKE '%; %' AND protocol NOT LIKE 'feedback:%' AND k = (SELECT max(k) FROM model_metrics)
GROUP BY model, k
HAVING max(value) FILTER (WHERE metric = 'ndcg') IS NOT NULL
ORDER BY ndcg DESC, model
