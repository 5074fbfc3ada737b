-- By which libraries, on which device, in which precision was a node made?
-- A row is one node and set of libraries, device and precision.
--
-- Rows that other versions made may differ in more than what was asked of them:
-- a node with `mixed` has parts by several sets of libraries, devices or
-- precisions. To have it by one, set its other parts aside and run again.
-- node       the node's name in the DAG
-- libraries  names and versions of what may have shaped the rows
-- device     that models ran on; empty without models
-- precision  that they ran in; empty without models
-- mixed      whether the node has another row here
-- parts      parts in the store
-- rows_in    rows that went in, failed ones included
-- hosts      machines that computed them
-- first      when the first of these parts was finished (UTC)
-- last       when the last one was

with source as (

    from receipts

),

grouped as (

    select
        node,
        libraries,
        coalesce(device, '') as device,
        coalesce(precision, '') as precision,
        count(*) as parts,
        sum(rows_in) as rows_in,
        count(distinct host) as hosts,
        min(finished) as first,
        max(finished) as last
    from source
    group by all

),

joined as (

    select
        nodes.position,
        grouped.node,
        grouped.libraries,
        grouped.device,
        grouped.precision,
        count(*) over (partition by grouped.node) > 1 as mixed,
        grouped.parts,
        grouped.rows_in,
        grouped.hosts,
        grouped.first,
        grouped.last
    from grouped
    inner join nodes using (node)

)

select * exclude (position)
from joined
order by position, last desc
