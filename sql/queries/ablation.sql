-- What do features, representation and pooling add, over the same baseline?
-- A row is one configuration and method, the best on unseen generators first.
--
-- Of each run the mean over its unseen generators, then over the runs that
-- differ in nothing but their seed. Choose between rows by validation_ap: the
-- other figures are of test images.
-- param experiment text null: only runs of this experiment
-- param dags text null: all, for runs of any DAG and state; null: of this one
-- param baseline text null: the method that gains are from; null: linear probe
-- param variant text null: of tested images; null: that of training images
-- experiment      as in runs
-- representation  what global and local are made of
-- pooling         of the objects, into local
-- configuration   as in runs
-- method          as in runs: a head's features, or a baseline
-- runs            how many seeds; of a state trained again the newest run
-- validation_ap   mean over the runs
-- ap              mean over the runs of the mean over unseen generators
-- ap_std          its sample standard deviation; null for one run
-- gain            mean over the runs of ap - that of the baseline in this run
-- gain_std        its sample standard deviation
-- auroc           mean over the runs
-- accuracy        mean over the runs

with means as (

    select
        experiment,
        configuration,
        method,
        run_id,
        any_value(validation_ap) as validation_ap,
        avg(ap) filter (where not seen) as ap,
        avg(auroc) filter (where not seen) as auroc,
        avg(accuracy) filter (where not seen and ap is not null) as accuracy
    from runs
    where
        configuration is not null
        and ($experiment::varchar is null or experiment = $experiment)
        and (current or $dags = 'all')
        and variant = coalesce($variant::varchar, train_variant)
    group by experiment, configuration, dag, state, method, seed, run_id
    qualify
        row_number() over (
            partition by experiment, configuration, dag, state, method, seed
            order by max(saved) desc, run_id
        )
        = 1

),

compared as (

    select
        *,
        ap - max(ap) filter (where method = coalesce($baseline, 'linear probe'))
            over (partition by experiment, run_id) as gain
    from means

)

select
    experiment,
    coalesce(configuration ->> 'representation', 'unit_difference')
        as representation,
    coalesce(configuration ->> 'pooling', 'mean') as pooling,
    configuration,
    method,
    count(*) as runs,
    avg(validation_ap) as validation_ap,
    avg(ap) as ap,
    stddev_samp(ap) as ap_std,
    avg(gain) as gain,
    stddev_samp(gain) as gain_std,
    avg(auroc) as auroc,
    avg(accuracy) as accuracy
from compared
group by experiment, configuration, method
order by ap desc nulls last, experiment, configuration, method
