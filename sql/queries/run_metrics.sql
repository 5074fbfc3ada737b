-- How well does each method of the newest runs do on each generator?
-- A row is one run, method and tested generator, the newest run first.
--
-- param runs integer 5: how many of the newest runs
-- param experiment text null: only runs of this experiment
-- param dags text null: all, for runs of any DAG and state; null: of this one
-- param variant text null: of tested images; null: that of training images
-- experiment  as in runs
-- run_id      as in runs
-- saved       when the run was written (UTC)
-- method      as in runs
-- variant     of the tested images
-- generator   the tested one
-- seen        whether fakes of this generator were trained on
-- ap          average precision
-- auroc       area under the ROC curve
-- accuracy    share of right answers
-- tnr         share of reals called real
-- tpr         share of fakes called fake
-- n           tested images
-- files_tell  AUROC of the run's `metadata` where that is far from chance, and
--             other methods may have learned no more; null: it is not

with newest as (

    select
        experiment,
        run_id
    from runs
    where
        ($experiment::varchar is null or experiment = $experiment)
        and (current or $dags = 'all')
    group by experiment, run_id
    order by max(saved) desc, experiment, run_id
    limit $runs::bigint

)

select
    experiment,
    run_id,
    runs.saved,
    runs.method,
    runs.variant,
    runs.generator,
    runs.seen,
    runs.ap,
    runs.auroc,
    runs.accuracy,
    runs.tnr,
    runs.tpr,
    runs.n,
    files_tell
from runs
inner join newest using (experiment, run_id)
left join files_tell() using (experiment, run_id, variant)
where runs.variant = coalesce($variant::varchar, runs.train_variant)
order by saved desc, experiment, run_id, method, seen desc, generator
