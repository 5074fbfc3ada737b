-- How many reals and fakes does a run get right at other thresholds than 0.5?
-- A row is one threshold of the probability, from 0 to 1.
--
-- A threshold chosen on these test images is an oracle: choose it on others.
-- param run text null: run_id; null: this DAG's newest run
-- param method text null: of the run; null: the best on validation images
-- param steps integer 20: between 0 and 1
-- param generator text null: only this tested generator
-- param variant text null: of tested images; null: that of training images
-- threshold          called fake from this probability
-- tnr                share of reals called real
-- tpr                share of fakes called fake
-- balanced_accuracy  mean of the two
-- reals              tested reals
-- fakes              tested fakes
-- experiment         of the run that was asked
-- run_id             the run that was asked
-- method             the method that was asked

with source as (

    select predictions.*
    from predictions
    inner join chosen_method($run, $method, $variant)
        using (experiment, run_id, method, variant)
    where $generator::varchar is null or predictions.generator = $generator

),

steps as (

    select unnest(range($steps::bigint + 1)) / $steps::bigint as threshold

),

joined as (

    select
        steps.threshold,
        avg((source.probability < steps.threshold)::integer)
            filter (where source.label = 0) as tnr,
        avg((source.probability >= steps.threshold)::integer)
            filter (where source.label = 1) as tpr,
        count(*) filter (where source.label = 0) as reals,
        count(*) filter (where source.label = 1) as fakes,
        any_value(source.experiment) as experiment,
        any_value(source.run_id) as run_id,
        any_value(source.method) as method
    from source
    cross join steps
    group by steps.threshold

)

select
    threshold,
    tnr,
    tpr,
    (tnr + tpr) / 2 as balanced_accuracy,
    reals,
    fakes,
    experiment,
    run_id,
    method
from joined
order by threshold
