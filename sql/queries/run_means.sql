-- Which method of which run does best on generators it has not seen?
-- A row is one run and method, the best on unseen generators first.
--
-- Means give every generator the same weight.
-- param experiment text null: only runs of this experiment
-- param dags text null: all, for runs of any DAG and state; null: of this one
-- param variant text null: of tested images; null: that of training images
-- experiment   as in runs
-- run_id       as in runs
-- saved        when the run was written (UTC)
-- method       as in runs
-- seen         tested generators whose fakes were trained on
-- ap_seen      mean average precision over them
-- unseen       the other tested generators, with real and fake test images
-- ap           mean average precision over the unseen
-- ap_lowest    the lowest of them
-- auroc        mean over the unseen of the area under the ROC curve
-- accuracy     mean over the unseen of the share of right answers
-- tnr          mean over the unseen of the share of reals called real
-- tpr          mean over the unseen of the share of fakes called fake
-- files_tell   AUROC of the run's `metadata` where that is far from chance, and
--              other methods may have learned no more; null: it is not

select
    experiment,
    run_id,
    max(saved) as saved,
    method,
    count(*) filter (where seen) as seen,
    avg(ap) filter (where seen) as ap_seen,
    count(*) filter (where not seen and ap is not null) as unseen,
    avg(ap) filter (where not seen) as ap,
    min(ap) filter (where not seen) as ap_lowest,
    avg(auroc) filter (where not seen) as auroc,
    avg(accuracy) filter (where not seen and ap is not null) as accuracy,
    avg(tnr) filter (where not seen and ap is not null) as tnr,
    avg(tpr) filter (where not seen and ap is not null) as tpr,
    any_value(files_tell) as files_tell
from runs
left join files_tell() using (experiment, run_id, variant)
where
    ($experiment::varchar is null or experiment = $experiment)
    and (current or $dags = 'all')
    and variant = coalesce($variant::varchar, train_variant)
group by experiment, run_id, method
order by ap desc nulls last, saved desc, experiment, run_id, method
