-- How much does a method's mean change with the seed?
-- A row is one configuration and method, the best on unseen generators first.
--
-- Of each run the mean over its unseen generators, then over the runs that
-- differ in nothing but their seed. Choose between configurations by
-- validation_ap: the other figures are of test images.
-- param experiment text null: only runs of this experiment
-- param dags text null: all, for runs of any DAG and state; null: of this one
-- param method text null: only this method
-- param variant text null: of tested images; null: that of training images
-- experiment        as in runs
-- configuration     as in runs
-- method            as in runs
-- runs              how many seeds; of a state trained again the newest run
-- validation_ap     mean over the runs
-- ap                mean over the runs of the mean over unseen generators
-- ap_std            its sample standard deviation; null for one run
-- auroc             mean over the runs
-- auroc_std         its sample standard deviation
-- accuracy          mean over the runs
-- accuracy_std      its sample standard deviation
-- at_threshold      mean over the runs of balanced_accuracy_at_threshold
-- at_threshold_std  its sample standard deviation

with means as (

    select
        experiment,
        configuration,
        method,
        seed,
        run_id,
        any_value(validation_ap) as validation_ap,
        avg(ap) filter (where not seen) as ap,
        avg(auroc) filter (where not seen) as auroc,
        avg(accuracy) filter (where not seen and ap is not null) as accuracy,
        avg(balanced_accuracy_at_threshold) filter (where not seen)
            as at_threshold
    from runs
    where
        configuration is not null
        and ($experiment::varchar is null or experiment = $experiment)
        and (current or $dags = 'all')
        and ($method::varchar is null or method = $method)
        and variant = coalesce($variant::varchar, train_variant)
    group by experiment, configuration, dag, state, method, seed, run_id
    qualify
        row_number() over (
            partition by experiment, configuration, dag, state, method, seed
            order by max(saved) desc, run_id
        )
        = 1

)

select
    experiment,
    configuration,
    method,
    count(*) as runs,
    avg(validation_ap) as validation_ap,
    avg(ap) as ap,
    stddev_samp(ap) as ap_std,
    avg(auroc) as auroc,
    stddev_samp(auroc) as auroc_std,
    avg(accuracy) as accuracy,
    stddev_samp(accuracy) as accuracy_std,
    avg(at_threshold) as at_threshold,
    stddev_samp(at_threshold) as at_threshold_std
from means
group by experiment, configuration, method
order by ap desc nulls last, experiment, configuration, method
