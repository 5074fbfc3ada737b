-- Which reals and fakes is a run surest of, and right?
-- A row is one test image and generator, the surest of its kind first.
--
-- param run text null: run_id; null: this DAG's newest run
-- param method text null: of the run; null: the best on validation images
-- param images integer 10: reals, and as many fakes
-- param generator text null: only this tested generator
-- param variant text null: of tested images; null: that of training images
-- kind           real or fake, as listed, and as the run says
-- probability    of fake, as the run says
-- generator      the tested one
-- image_id       as in images
-- uri            the path, or the first of several
-- caption        as in captions
-- cosine_global  cosine of image and caption
-- cosine_local   mean cosine of the objects
-- experiment     of the run that was asked
-- run_id         the run that was asked
-- method         the method that was asked

with tested as (

    select predictions.*
    from predictions
    inner join chosen_method($run, $method, $variant)
        using (experiment, run_id, method, variant)
    where $generator::varchar is null or predictions.generator = $generator

),

surest as (

    (
        select *
        from tested
        where label = 0 and probability < 0.5
        order by probability, image_id, generator
        limit $images::bigint
    )

    union all

    (
        select *
        from tested
        where label = 1 and probability >= 0.5
        order by probability desc, image_id, generator
        limit $images::bigint
    )

),

aligned as (

    from about_images((select list(image_id) from surest))

)

select
    case surest.label when 0 then 'real' when 1 then 'fake' end as kind,
    surest.probability,
    surest.generator,
    surest.image_id,
    aligned.uri,
    aligned.caption,
    aligned.cosine_global,
    aligned.cosine_local,
    surest.experiment,
    surest.run_id,
    surest.method
from surest
left join aligned using (image_id)
order by
    surest.label,
    abs(surest.label - surest.probability),
    surest.image_id,
    surest.generator
