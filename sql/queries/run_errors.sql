-- Which test images does a run get wrong, and what do their captions say?
-- A row is one image and generator on the wrong side of 0.5, the surest first.
--
-- param run text null: run_id; null: this DAG's newest run
-- param method text null: of the run; null: the best on validation images
-- param generator text null: only this tested generator
-- param errors integer 50: how many
-- param variant text null: of tested images; null: that of training images
-- kind           real or fake, as listed
-- probability    of fake, as the run says
-- generator      the tested one
-- image_id       as in images
-- uri            the path, or the first of several
-- caption        as in captions
-- objects        the phrases of its objects, each with its cosine
-- cosine_global  cosine of image and caption
-- worst_phrase   the object with the lowest cosine
-- worst_cosine   the cosine of that object
-- experiment     of the run that was asked
-- run_id         the run that was asked
-- method         the method that was asked

with errors as (

    select predictions.*
    from predictions
    inner join chosen_method($run, $method, $variant)
        using (experiment, run_id, method, variant)
    where
        (predictions.probability >= 0.5) <> (predictions.label = 1)
        and ($generator::varchar is null or predictions.generator = $generator)
    order by abs(label - probability) desc, image_id, generator
    limit $errors::bigint

),

aligned as (

    from about_images((select list(image_id) from errors))

)

select
    case errors.label when 0 then 'real' when 1 then 'fake' end as kind,
    errors.probability,
    errors.generator,
    errors.image_id,
    aligned.uri,
    aligned.caption,
    aligned.objects,
    aligned.cosine_global,
    aligned.worst_phrase,
    aligned.worst_cosine,
    errors.experiment,
    errors.run_id,
    errors.method
from errors
left join aligned using (image_id)
order by
    abs(errors.label - errors.probability) desc,
    errors.image_id,
    errors.generator
