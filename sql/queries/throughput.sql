-- How fast is each node, and where does its time go?
-- A row is one node that has parts, in the DAG's order.
--
-- Seconds are those of the workers, added up: two workers that are busy for
-- ten seconds count twenty.
-- node             the node's name in the DAG
-- stage            the stage it runs
-- parts            parts in the store
-- hosts            machines that computed them
-- rows_in          rows that went in, failed ones included
-- seconds_read     reading the input tables
-- seconds_infer    the stage itself
-- seconds_write    writing the part
-- seconds          the sum of the three
-- rows_per_second  rows_in / seconds: of one worker
-- megabytes        size of the parts, in millions of bytes
-- last_finished    when the last part was finished (UTC)

with totals as (

    select
        node,
        any_value(stage) as stage,
        count(*) as parts,
        count(distinct host) as hosts,
        sum(rows_in) as rows_in,
        sum(seconds_read) as seconds_read,
        sum(seconds_infer) as seconds_infer,
        sum(seconds_write) as seconds_write,
        sum(seconds_read + seconds_infer + seconds_write) as seconds,
        sum(bytes) / 1e6 as megabytes,
        max(finished) as last_finished
    from receipts
    group by node

),

joined as (

    select
        nodes.position,
        totals.node,
        totals.stage,
        totals.parts,
        totals.hosts,
        totals.rows_in,
        totals.seconds_read,
        totals.seconds_infer,
        totals.seconds_write,
        totals.seconds,
        totals.rows_in / nullif(totals.seconds, 0) as rows_per_second,
        totals.megabytes,
        totals.last_finished
    from totals
    inner join nodes using (node)

)

select * exclude (position)
from joined
order by position
