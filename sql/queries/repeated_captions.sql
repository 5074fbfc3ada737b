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

with source as (

    select
        caption,
        label,
        generator,
        cosine_global
    from clean_images
    where caption is not null

)

select
    caption,
    count(*) as images,
    count(*) filter (where label = 0) as reals,
    count(*) filter (where label = 1) as fakes,
    count(distinct generator) as generators,
    avg(cosine_global) as cosine_global
from source
group by caption
having count(*) >= $at_least::bigint
order by images desc, caption
limit $captions::bigint
