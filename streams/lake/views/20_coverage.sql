-- Did you see everything? One row an instrument and trading day (the venue's zone).
create view coverage_days as
with seen as (
  select instrument, seq, ts from orders
  union all select instrument, seq, ts from trades
  union all select instrument, seq, ts from quotes
),
landed as (
  select instrument, (ts at time zone '{zone}')::date as trading_day,
    min(seq) as first_seq, max(seq) as last_seq, count(*) as landed
  from seen group by all
),
once as (
  select instrument, reason, (ts at time zone '{zone}')::date as trading_day
  from refused where instrument is not null and ts is not null
  qualify row_number() over (partition by src_topic, src_partition, src_offset, src_index order by "offset") = 1
),
refusals as (
  select instrument, trading_day, count(*) filter (reason = 'duplicate') as duplicates,
    count(*) filter (reason <> 'duplicate') as quarantined
  from once group by all
),
holes as (
  select instrument, (ts at time zone '{zone}')::date as trading_day,
    sum(last_seq - first_seq + 1) as skipped, sum(to_ns - from_ns) as dq_ns
  from journal_marks where kind = 'gap' group by all
),
filled as (
  select late.instrument, (gap.ts at time zone '{zone}')::date as trading_day, count(*) as came
  from journal_marks late join journal_marks gap
    on gap.kind = 'gap' and gap.instrument = late.instrument
    and late.first_seq between gap.first_seq and gap.last_seq
  where late.kind = 'late' group by all
)
select coalesce(landed.instrument, refusals.instrument) as instrument,
  coalesce(landed.trading_day, refusals.trading_day) as trading_day,
  first_seq, last_seq,
  coalesce(landed, 0) + coalesce(duplicates, 0) + coalesce(quarantined, 0) as received,
  coalesce(landed, 0) as landed, coalesce(quarantined, 0) as quarantined, coalesce(duplicates, 0) as duplicates,
  (coalesce(skipped, 0) - coalesce(came, 0))::bigint as missing_seqs, coalesce(dq_ns, 0)::bigint as dq_ns
from landed
full join refusals on refusals.instrument = landed.instrument and refusals.trading_day = landed.trading_day
left join holes on holes.instrument = landed.instrument and holes.trading_day = landed.trading_day
left join filled on filled.instrument = landed.instrument and filled.trading_day = landed.trading_day;
