-- One row: one content of the listing, however many paths have it. It is a
-- table without arguments: from content_labels()
--
-- content_id  as in images
-- label       0 real, 1 fake; null: unknown, or its listings differ
-- generators  the list of those that it is listed under, in alphabetical order

create macro content_labels() as table

with contents as materialized (

    select
        image_id as content_id,
        case when min(label) = max(label) then min(label) end as label,
        min(generator) as generator,
        min(generator) is distinct from max(generator)
        or count(generator) not in (0, count(*)) as several
    from listing
    where image_id is not null
    group by image_id

),

-- few have several, and a list for each of the others would take twice the time
several as (

    select
        image_id as content_id,
        list_sort(list(distinct generator)) as generators
    from listing
    where image_id in (select content_id from contents where several)
    group by image_id

)

select
    contents.content_id,
    contents.label,
    case
        when contents.several then several.generators
        else [contents.generator]
    end as generators
from contents
left join several using (content_id)
