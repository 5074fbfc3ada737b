-- On which test images do two methods, or two runs, disagree?
-- A row is one image and generator that both tested, with one verdict each.
--
-- The verdict is fake from a probability of 0.5. The rows where the two are
-- furthest apart come first.
-- param run text null: run_id; null: this DAG's newest run
-- param method text null: of the run; null: the best on validation images
-- param other_run text null: its run_id; null: the same run
-- param other_method text null: of it; null: its best other one on validation
-- param images integer 50: how many
-- param variant text null: of tested images; null: that of training images
-- kind               real or fake, as listed
-- generator          the tested one
-- image_id           as in images
-- uri                the path, or the first of several
-- caption            as in captions
-- probability        of fake, as the one says
-- other_probability  of fake, as the other says
-- right_is           whose verdict is right: one or other
-- experiment         of the one run
-- run_id             the one run
-- method             its method
-- other_experiment   of the other run
-- other_run_id       the other run
-- other_method       its method

with chosen as (

    from chosen_method($run, $method, $variant)

),

other as (

    select
        runs.experiment,
        runs.run_id,
        runs.method,
        runs.variant
    from runs
    inner join chosen using (variant)
    where
        if(
            $other_run::varchar is null,
            (runs.experiment, runs.run_id) = (chosen.experiment, chosen.run_id),
            runs.run_id = $other_run
        )
        and ($other_method::varchar is null or runs.method = $other_method)
        and (runs.experiment, runs.run_id, runs.method)
        <> (chosen.experiment, chosen.run_id, chosen.method)
    group by runs.experiment, runs.run_id, runs.method, runs.variant
    order by
        max(runs.validation_ap) desc nulls last,
        runs.experiment,
        runs.method
    limit 1

),

ones as (

    select predictions.*
    from predictions
    inner join chosen using (experiment, run_id, method, variant)

),

others as (

    select predictions.*
    from predictions
    inner join other using (experiment, run_id, method, variant)

),

joined as (

    select
        ones.label,
        ones.generator,
        ones.image_id,
        ones.probability,
        others.probability as other_probability,
        ones.experiment,
        ones.run_id,
        ones.method,
        others.experiment as other_experiment,
        others.run_id as other_run_id,
        others.method as other_method
    from ones
    inner join others
        on
            ones.image_id = others.image_id
            and ones.generator is not distinct from others.generator
    where (ones.probability >= 0.5) <> (others.probability >= 0.5)
    order by
        abs(ones.probability - others.probability) desc,
        ones.image_id,
        ones.generator
    limit $images::bigint

),

aligned as (

    from about_images((select list(image_id) from joined))

)

select
    case joined.label when 0 then 'real' when 1 then 'fake' end as kind,
    joined.generator,
    joined.image_id,
    aligned.uri,
    aligned.caption,
    joined.probability,
    joined.other_probability,
    if((joined.probability >= 0.5) = (joined.label = 1), 'one', 'other')
        as right_is,
    joined.experiment,
    joined.run_id,
    joined.method,
    joined.other_experiment,
    joined.other_run_id,
    joined.other_method
from joined
left join aligned using (image_id)
order by
    abs(joined.probability - joined.other_probability) desc,
    joined.image_id,
    joined.generator
