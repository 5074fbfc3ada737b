-- How large and how sure are the regions of each object, in reals and fakes?
-- A row is one head noun (lemma), the most frequent first.
--
-- Clean images only; an image whose listings disagree on its label counts as
-- neither real nor fake.
-- head        the lemma of the phrase's head noun
-- regions     objects with a region
-- area        mean share of the image that the region covers
-- area_real   the same, in reals
-- area_fake   the same, in fakes
-- score       mean score of the localiser, on its own scale
-- score_real  the same, in reals
-- score_fake  the same, in fakes

with labels as (

    select
        image_id,
        case when min(label) = max(label) then min(label) end as label
    from listing
    where image_id is not null
    group by image_id

),

joined as (

    -- a variant's image_id is no listed one: these are clean
    select
        objects.head,
        labels.label,
        (regions.x1 - regions.x0) * (regions.y1 - regions.y0) as area,
        regions.score
    from regions
    inner join objects using (image_id, object_no)
    inner join labels using (image_id)
    where regions.x0 is not null

)

select
    head,
    count(*) as regions,
    avg(area) as area,
    avg(area) filter (where label = 0) as area_real,
    avg(area) filter (where label = 1) as area_fake,
    avg(score) as score,
    avg(score) filter (where label = 0) as score_real,
    avg(score) filter (where label = 1) as score_fake
from joined
group by head
order by regions desc, head
