-- Which objects fit their region well or badly, in real and in fake images?
-- A row is one head noun (lemma), the most frequent first.
--
-- Clean images only; an image whose listings disagree on its label counts as
-- neither.
-- head           the lemma of the phrase's head noun
-- objects        measured objects, over all images
-- images         images that have one
-- cosine         mean cosine of region and phrase
-- distance       mean distance of region and phrase
-- objects_real   objects in images labelled real
-- cosine_real    their mean cosine
-- objects_fake   objects in images labelled fake
-- cosine_fake    their mean cosine
-- fake_less_real cosine_fake - cosine_real: below 0, fakes fit worse

with labels as (

    select
        image_id,
        case when min(label) = max(label) then min(label) end as label
    from listing
    where image_id is not null
    group by image_id

),

measured as (

    select
        image_id,
        object_no,
        cosine,
        distance
    from misalignment
    where
        level = 'local'
        and cosine is not null
        and length(image_id) = 32  -- a variant's id is longer

),

joined as (

    select
        objects.head,
        count(*) as objects,
        count(distinct measured.image_id) as images,
        avg(measured.cosine) as cosine,
        avg(measured.distance) as distance,
        count(*) filter (where labels.label = 0) as objects_real,
        avg(measured.cosine) filter (where labels.label = 0) as cosine_real,
        count(*) filter (where labels.label = 1) as objects_fake,
        avg(measured.cosine) filter (where labels.label = 1) as cosine_fake
    from measured
    inner join objects using (image_id, object_no)
    left join labels using (image_id)
    group by objects.head

)

select
    *,
    cosine_fake - cosine_real as fake_less_real
from joined
order by objects desc, head
