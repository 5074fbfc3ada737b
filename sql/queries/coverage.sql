-- How much of each node is computed, and how many rows failed?
-- A row is one node of the DAG, in the DAG's order.
--
-- node           its name in the DAG
-- table_name     the table it makes
-- parts          parts in the store
-- parts_expected parts of the images; null for the listing, which has its own
-- rows_in        rows that went in: images, in each variant (files for the
--                listing, distinct texts of a part for text embeddings)
-- rows_ok        rows that came out well
-- rows_failed    rows with an error; rows_in = rows_ok + rows_failed
-- failed_share   rows_failed / rows_in
-- reconciles     whether that sum is right in every part; null without parts

with totals as (

    select
        node,
        sum(rows_in) as rows_in,
        sum(rows_ok) as rows_ok,
        sum(rows_failed) as rows_failed,
        bool_and(rows_in = rows_ok + rows_failed) as reconciles
    from receipts
    group by node

),

expected as (

    select sum(parts) as parts
    from nodes
    where table_name = 'images'

),

joined as (

    select
        nodes.position,
        nodes.node,
        nodes.table_name,
        nodes.parts,
        case
            when nodes.table_name <> 'listing' then expected.parts
        end as parts_expected,
        coalesce(totals.rows_in, 0) as rows_in,
        coalesce(totals.rows_ok, 0) as rows_ok,
        coalesce(totals.rows_failed, 0) as rows_failed,
        totals.rows_failed / nullif(totals.rows_in, 0) as failed_share,
        totals.reconciles
    from nodes
    cross join expected
    left join totals using (node)

)

select * exclude (position)
from joined
order by position
