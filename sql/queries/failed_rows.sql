-- Which rows failed, in which node, and why?
-- A row is one failed row of one node, in the DAG's order.
--
-- A failure is handed down: an image that cannot be decoded fails again in the
-- nodes below, and the first node is where to look.
-- node       the node's name in the DAG
-- uri        the file; null for a text
-- key        image_id; the uri in the listing, text_id for a text
-- object_no  the object, where the row is one object's
-- error      why

with places as (

    select
        image_id as content_id,
        min(uri) as uri
    from listing
    where image_id is not null
    group by image_id

),

joined as (

    select
        nodes.position,
        failures.node,
        case
            when failures.table_name = 'listing' then failures.key
            else places.uri
        end as uri,
        failures.key,
        failures.object_no,
        failures.error
    from failures
    inner join nodes using (node)
    left join places on left(failures.key, 32) = places.content_id

)

select * exclude (position)
from joined
order by position, uri, key, object_no
