-- The latest word on everything: the greatest (knowledge, revision) of a key.
create view alerts as
select * from alert_revisions
qualify row_number() over (partition by alert_id order by knowledge desc, revision desc, "offset") = 1;

-- Of measures, the pass with the latest knowledge counts as a whole: a row only an earlier pass had is gone.
-- A pass is known by any of its rows: it may have no spreads (no such rule in the rulebook) or no harm.
create view latest_knowledge as
select max(knowledge) as knowledge from (
  select max(knowledge) as knowledge from client_priority_harm_revisions
  union all select max(knowledge) from client_priority_days_revisions
  union all select max(knowledge) from spread_minutes_revisions
  union all select max(knowledge) from spread_days_revisions
  union all select max(knowledge) from presence_days_revisions
  union all select max(knowledge) from alert_revisions
);

create view client_priority_harm as
select * from client_priority_harm_revisions
where knowledge = (select knowledge from latest_knowledge)
qualify row_number() over (
  partition by instance, instrument, trade_id, side, order_id order by revision desc, "offset") = 1;

create view client_priority_days as
select * from client_priority_days_revisions
where knowledge = (select knowledge from latest_knowledge)
qualify row_number() over (partition by instance, instrument, trading_day order by revision desc, "offset") = 1;

create view spread_minutes as
select * from spread_minutes_revisions
where knowledge = (select knowledge from latest_knowledge)
qualify row_number() over (partition by instrument, minute_ns order by revision desc, "offset") = 1;

create view spread_days as
select * from spread_days_revisions
where knowledge = (select knowledge from latest_knowledge)
qualify row_number() over (partition by instrument, trading_day order by revision desc, "offset") = 1;

-- A quantity-weighted mean in bps, rounded half to even to 6 decimals: `total` a sum of `*_sum`, `qty` of its
-- `*_qty`, in whole numbers of 128 bits (DuckDB divides decimals as doubles).
create macro half_even(n, d) as
  n // d + if(2 * abs(n % d) > d or (2 * abs(n % d) = d and (n // d) % 2 <> 0), sign(n), 0);
create macro mean_bps(total, qty) as (
  half_even(total::hugeint, nullif((qty * 100000000)::hugeint, 0))::decimal(32, 0) * 0.000001)::decimal(18, 6);

-- Execution quality by role. `*_sum` = sum over the trades of measure (1e-6 bps) x quantity (1e-8 base): to
-- regroup, mean_bps(sum(effective_sum), sum(effective_qty)).
create view execution_days as
with pairs as (select instrument, trading_day, unnest(by_role, recursive := true) from spread_days)
select instrument, trading_day, taker_role, maker_role,
  effective_n, effective_qty, mean_bps(effective_sum, effective_qty) as effective_bps,
  mean_bps(improvement_sum, effective_qty) as improvement_bps,
  realised_1s_n, realised_1s_qty, mean_bps(realised_1s_sum, realised_1s_qty) as realised_1s_bps,
  mean_bps(impact_1s_sum, realised_1s_qty) as impact_1s_bps,
  realised_10s_n, realised_10s_qty, mean_bps(realised_10s_sum, realised_10s_qty) as realised_10s_bps,
  mean_bps(impact_10s_sum, realised_10s_qty) as impact_10s_bps,
  realised_60s_n, realised_60s_qty, mean_bps(realised_60s_sum, realised_60s_qty) as realised_60s_bps,
  mean_bps(impact_60s_sum, realised_60s_qty) as impact_60s_bps,
  effective_sum, improvement_sum, realised_1s_sum, impact_1s_sum, realised_10s_sum, impact_10s_sum,
  realised_60s_sum, impact_60s_sum
from pairs;

create view presence_days as
select * from presence_days_revisions
where knowledge = (select knowledge from latest_knowledge)
qualify row_number() over (
  partition by instance, instrument, agreement, trading_day order by revision desc, "offset") = 1;

-- Refused records, once each; a duplicate is a finding and nothing to keep.
create view quarantine as
select src_topic as topic, src_partition as "partition", src_offset as "offset", src_index as "index",
  place, reason, detail, raw, instrument, seq, ts, ts_ns
from refused
where reason <> 'duplicate'
qualify row_number() over (partition by src_topic, src_partition, src_offset, src_index order by refused."offset") = 1;

create view data_quality as
select measures ->> 'kind' as kind, instrument, (measures ->> 'first_seq')::bigint as first_seq,
  (measures ->> 'last_seq')::bigint as last_seq, ts, ts_ns, null::varchar as place,
  measures ->> 'detail' as reason, null::blob as raw, alert_id
from alerts where rule = 'data_quality'
union all
select reason, instrument, seq, seq, ts, ts_ns, place, detail, raw, null from quarantine
where reason not in ('conflict', 'partition_mismatch');
