-- What does every method of every run say of one image, in each variant of it?
-- A row is one run, method, variant and generator that it was tested for.
--
-- Only test images have verdicts: what a run was trained on, or validated on,
-- has none of it.
-- param image text null: its image_id
-- param dags text null: all, for runs of any DAG and state; null: of this one
-- experiment   as in runs
-- run_id       as in runs
-- seed         as in runs
-- method       as in runs
-- variant      of the image
-- generator    that it was tested for
-- probability  of fake
-- threshold    fake from here on, as chosen on validation images
-- verdict      real or fake, by that threshold
-- right        whether it is what the label says
-- sure         whether it is beyond the unsure band

with own as (

    select
        experiment,
        run_id,
        method,
        variant,
        generator,
        label,
        probability
    from predictions
    where left(image_id, 32) = left($image, 32)

),

-- one row a method: what was chosen is the same for every generator
chosen as (

    select
        experiment,
        run_id,
        method,
        any_value(seed) as seed,
        any_value(saved) as saved,
        any_value(threshold) as threshold,
        any_value(unsure_low) as unsure_low,
        any_value(unsure_high) as unsure_high
    from runs
    where current or $dags = 'all'
    group by experiment, run_id, method

)

select
    own.experiment,
    own.run_id,
    chosen.seed,
    own.method,
    own.variant,
    own.generator,
    own.probability,
    chosen.threshold,
    if(own.probability >= chosen.threshold, 'fake', 'real') as verdict,
    (own.probability >= chosen.threshold) = (own.label = 1) as right,
    coalesce(own.probability < chosen.unsure_low, false)
    or coalesce(own.probability >= chosen.unsure_high, false) as sure
from own
inner join chosen using (experiment, run_id, method)
order by
    chosen.saved desc,
    own.experiment,
    own.run_id,
    own.method,
    severity(own.variant),
    own.generator
