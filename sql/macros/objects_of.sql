-- One row: one object of one of the given images, with the region where it was
-- found. It is a table with one argument: from objects_of(['0b5d…', '77aa…'])
--
-- ids       the list of image_ids
-- image_id  as in images
-- object_no as in objects
-- phrase    as in objects
-- cosine    of region and phrase; null if not measured
-- distance  of region and phrase; null if not measured
-- x0        left edge of the region, as a share of the upright image's width
-- y0        upper edge, as a share of its height
-- x1        right edge
-- y1        lower edge; all four are null without a region
-- score     as in regions

create macro objects_of(ids) as table

with wanted as materialized (

    select distinct unnest(ids) as image_id

),

named as (

    select
        image_id,
        object_no,
        phrase
    from store.objects
    where
        object_no is not null
        and image_id in (select image_id from wanted)

),

measured as (

    select
        image_id,
        object_no,
        cosine,
        distance
    from store.misalignment
    where level = 'local' and image_id in (select image_id from wanted)

),

found as (

    select
        image_id,
        object_no,
        x0,
        y0,
        x1,
        y1,
        score
    from store.regions
    where image_id in (select image_id from wanted)

)

select
    named.image_id,
    named.object_no,
    named.phrase,
    measured.cosine,
    measured.distance,
    found.x0,
    found.y0,
    found.x1,
    found.y1,
    found.score
from named
left join measured using (image_id, object_no)
left join found using (image_id, object_no)
order by named.image_id, named.object_no
