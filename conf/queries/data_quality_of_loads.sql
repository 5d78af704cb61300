-- Can I trust the last loads?
-- The newest load of each source: what became of its rows, what was unusual, and the rules that most rows broke.
WITH newest AS (
  SELECT *, row_number() OVER (PARTITION BY source ORDER BY number DESC) AS back FROM ingest_batches
),
found AS (
  SELECT
    batch_id,
    count_if(unusual) AS unusual_checks,
    array_join(
      transform(
        slice(sort_array(collect_list(struct(rows, check)) FILTER (WHERE dimension = 'validity' AND rows > 0), false), 1, 3),
        worst -> concat(worst.check, ': ', worst.rows)
      ),
      ', '
    ) AS worst
  FROM data_quality
  GROUP BY batch_id
)
SELECT
  source,
  finished_at,
  rows_read,
  rows_accepted,
  rows_duplicate,
  rows_quarantined,
  round(rows_quarantined / nullif(rows_read, 0), 4) AS share_quarantined,
  coalesce(unusual_checks, 0) AS unusual_checks,
  worst
FROM newest
LEFT JOIN found USING (batch_id)
WHERE back = 1
ORDER BY source
