-- Which captions does the captioner give to many images?
-- A row is one caption of clean images, the most frequent first.
--
-- A caption that many unlike images share says little about each of them.
-- param at_least integer 2: captions of so many images
-- param captions integer 20: how many
-- caption        as in captions
-- images         distinct images
-- reals          of these, labelled real
-- fakes          of these, labelled fake
-- generators     how many generators they come from
-- cosine_global  mean cosine of image and caption

with described as (

    select
        image_id,
        caption
    from captions
    where caption is not null and length(image_id) = 32  -- no variants

),

frequent as (

    select caption
    from described
    group by caption
    having count(*) >= $at_least::bigint
    order by count(*) desc, caption
    limit $captions::bigint

),

chosen as (

    select *
    from described
    where caption in (select caption from frequent)

),

labels as (

    select
        image_id,
        case when min(label) = max(label) then min(label) end as label,
        case
            when min(generator) = max(generator) then min(generator)
        end as generator
    from listing
    where image_id in (select image_id from chosen)
    group by image_id

),

whole as (

    select
        image_id,
        cosine
    from misalignment
    where level = 'global' and image_id in (select image_id from chosen)

)

select
    chosen.caption,
    count(*) as images,
    count(*) filter (where labels.label = 0) as reals,
    count(*) filter (where labels.label = 1) as fakes,
    count(distinct labels.generator) as generators,
    avg(whole.cosine) as cosine_global
from chosen
left join labels using (image_id)
left join whole using (image_id)
group by chosen.caption
order by images desc, caption
