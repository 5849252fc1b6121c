-- Did you see everything? One row an instrument and trading day (the venue's zone) with a record, a refused
-- record or time in a gap. A gap lasts from the time before the missing seqs to the ts of the next record that is
-- not `restated` (whose ts is its order's), or to the last clock, and is cut at midnight; its seqs count on the
-- day of the record after them, less those that came late.
create view coverage_days as
with seen as (
  select instrument, seq, ts, ts_ns, dq, exec_type = 'restated' as old from orders
  union all select instrument, seq, ts, ts_ns, dq, false from trades
  union all select instrument, seq, ts, ts_ns, dq, false from quotes
),
landed as (
  select instrument, (ts at time zone '{zone}')::date as trading_day,
    min(seq) as first_seq, max(seq) as last_seq, count(*) as landed
  from seen group by all
),
once as (
  select instrument, reason, (ts at time zone '{zone}')::date as trading_day
  from refused where instrument is not null and ts_ns >= 0
  qualify row_number() over (partition by src_topic, src_partition, src_offset, src_index order by "offset") = 1
),
refusals as (
  select instrument, trading_day, count(*) filter (reason = 'duplicate') as duplicates,
    count(*) filter (reason <> 'duplicate') as quarantined
  from once group by all
),
gaps as (
  select instrument, first_seq, last_seq, ts, from_ns, "partition" from journal_marks where kind = 'gap'
),
skips as (
  select instrument, (ts at time zone '{zone}')::date as trading_day, sum(last_seq - first_seq + 1) as skipped
  from gaps group by all
),
filled as (
  select late.instrument, (gap.ts at time zone '{zone}')::date as trading_day, count(*) as came
  from journal_marks late join gaps gap
    on gap.instrument = late.instrument and late.first_seq between gap.first_seq and gap.last_seq
  where late.kind = 'late' group by all
),
onward as (
  select instrument, seq, ts_ns from seen where not old and dq is distinct from 'late'
),
clocks as (
  select "partition", max(ts_ns) as ts_ns from journal_marks where kind = 'clock' group by all
),
lasting as (
  select gaps.instrument, from_ns, coalesce(onward.ts_ns, clocks.ts_ns) as to_ns
  from gaps asof left join onward on onward.instrument = gaps.instrument and onward.seq > gaps.last_seq
  left join clocks on clocks."partition" = gaps."partition"
),
spans as (
  select instrument, from_ns, max(to_ns) as to_ns from lasting where to_ns > from_ns group by all
),
spread as (
  select instrument, from_ns, to_ns, unnest(generate_series(
    (make_timestamp_ns(from_ns)::timestamp at time zone 'UTC' at time zone '{zone}')::date::timestamp,
    (make_timestamp_ns(to_ns - 1)::timestamp at time zone 'UTC' at time zone '{zone}')::date::timestamp,
    interval 1 day)) as midnight
  from spans
),
holes as (
  select instrument, midnight::date as trading_day,
    sum(least(to_ns, epoch_ns((midnight + interval 1 day) at time zone '{zone}'))
      - greatest(from_ns, epoch_ns(midnight at time zone '{zone}'))) as dq_ns
  from spread group by all
),
days as (
  select instrument, trading_day from landed union select instrument, trading_day from refusals
  union select instrument, trading_day from holes
)
select instrument, trading_day, first_seq, last_seq,
  coalesce(landed, 0) + coalesce(duplicates, 0) + coalesce(quarantined, 0) as received,
  coalesce(landed, 0) as landed, coalesce(quarantined, 0) as quarantined, coalesce(duplicates, 0) as duplicates,
  (coalesce(skipped, 0) - coalesce(came, 0))::bigint as missing_seqs, coalesce(dq_ns, 0)::bigint as dq_ns
from days
left join landed using (instrument, trading_day)
left join refusals using (instrument, trading_day)
left join skips using (instrument, trading_day)
left join filled using (instrument, trading_day)
left join holes using (instrument, trading_day);
