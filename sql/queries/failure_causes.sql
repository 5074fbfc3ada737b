-- Why did rows fail, and how often?
-- A row is one error in the first node that failed, the most frequent first.
--
-- A failure that is only handed down from a node above is not counted again. An
-- image that fails in several variants counts in each.
-- node      the first node in the DAG's order where these rows failed
-- error     as the stage said it
-- failures  distinct images (files for the listing, texts for texts)
-- example   one of the files; the text_id for a text

with places as (

    select
        image_id as content_id,
        min(uri) as uri
    from listing
    where image_id is not null
    group by image_id

),

firsts as (

    select
        nodes.position,
        failures.node,
        failures.key,
        failures.error,
        places.uri
    from failures
    inner join nodes using (node)
    left join places on left(failures.key, 32) = places.content_id
    qualify
        nodes.position
        = min(nodes.position) over (partition by failures.key)

)

select
    node,
    error,
    count(distinct key) as failures,
    min(coalesce(uri, key)) as example
from firsts
group by position, node, error
order by failures desc, position, error
