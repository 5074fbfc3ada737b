-- How much of a run's success is left on perturbed images?
-- A row is one method and variant of one run, clean first, then by severity.
--
-- Means over the generators that the run has not seen; of changes from clean,
-- below 0 it gets worse. Both are of the same images.
-- param run text null: run_id; null: this DAG's newest of several variants
-- param method text null: only this method
-- experiment           as in runs
-- run_id               the run that was asked
-- method               as in runs
-- variant              of the tested images
-- unseen               tested generators that were not trained on
-- ap                   mean average precision over them
-- ap_less_clean        mean change of it from clean; null of clean images
-- accuracy             mean share of right answers
-- accuracy_less_clean  mean change of it from clean
-- tnr                  mean share of reals called real
-- tpr                  mean share of fakes called fake
-- n                    tested images, over these generators

with chosen as (

    select
        experiment,
        run_id
    from runs
    where if($run::varchar is null, current, run_id = $run)
    group by experiment, run_id
    having $run is not null or count(distinct variant) > 1
    order by max(saved) desc, experiment, run_id
    limit 1

)

select
    runs.experiment,
    runs.run_id,
    runs.method,
    runs.variant,
    count(*) as unseen,
    avg(runs.ap) as ap,
    avg(runs.ap_less_clean) as ap_less_clean,
    avg(runs.accuracy) as accuracy,
    avg(runs.accuracy_less_clean) as accuracy_less_clean,
    avg(runs.tnr) as tnr,
    avg(runs.tpr) as tpr,
    sum(runs.n) as n
from runs
inner join chosen using (experiment, run_id)
where
    not runs.seen
    and runs.ap is not null
    and ($method::varchar is null or runs.method = $method)
group by runs.experiment, runs.run_id, runs.method, runs.variant
order by runs.method, severity(runs.variant)
