-- How much room does each node take?
-- A row is one node that has parts, in the DAG's order.
--
-- node           the node's name in the DAG
-- parts          parts in the store
-- rows_in        rows that went in, failed ones included
-- megabytes      size of the parts, in millions of bytes
-- share          of the size of all nodes of the DAG
-- bytes_per_row  size of the parts / rows_in
-- largest_part   size of the largest part, in millions of bytes

with totals as (

    select
        node,
        count(*) as parts,
        sum(rows_in) as rows_in,
        sum(bytes) as bytes,
        max(bytes) as largest
    from receipts
    group by node

),

joined as (

    select
        nodes.position,
        totals.node,
        totals.parts,
        totals.rows_in,
        totals.bytes / 1e6 as megabytes,
        totals.bytes / sum(totals.bytes) over () as share,
        totals.bytes / nullif(totals.rows_in, 0) as bytes_per_row,
        totals.largest / 1e6 as largest_part
    from totals
    inner join nodes using (node)

)

select * exclude (position)
from joined
order by position
