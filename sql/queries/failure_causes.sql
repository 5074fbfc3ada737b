-- Why did rows fail, and how often?
-- A row is one error in the first node that failed, the most frequent first.
--
-- A failure that is only handed down from a node above is not counted again,
-- nor is that of a content at `images` which the listing's files have already.
-- An image that fails in several variants counts in each.
-- node      the first node in the DAG's order where these rows failed
-- error     as the stage said it, with … for paths, and for addresses in memory
-- failures  distinct images (files for the listing, texts for texts)
-- example   one of the files; the text_id for a text

with places as (

    select
        image_id as content_id,
        min(uri) as uri,
        -- no facts: the content is at fault, and not the path's layout
        bool_or(error is not null and width is null) as listed_failed
    from listing
    where image_id is not null
    group by image_id

),

firsts as (

    select
        nodes.position,
        nodes.table_name,
        failures.node,
        failures.key,
        failures.error,
        places.listed_failed,
        case
            when nodes.table_name = 'listing' then failures.key
            else places.uri
        end as uri
    from failures
    inner join nodes using (node)
    left join places on left(failures.key, 32) = places.content_id
    qualify
        nodes.position
        = min(nodes.position) over (partition by failures.key)

),

counted as (

    select
        *,
        without_paths(error, uri) as cause
    from firsts
    where table_name <> 'images' or not coalesce(listed_failed, false)

)

select
    node,
    cause as error,
    count(distinct key) as failures,
    min(coalesce(uri, key)) as example
from counted
group by position, node, cause
order by failures desc, position, error
