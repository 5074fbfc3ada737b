-- One row: the method of a trained run that a query is about, and the variant
-- of the tested images; none where no run has them. It is a table with three
-- arguments:
-- from predictions inner join chosen_method(null, 'global', null)
--     using (experiment, run_id, method, variant)
--
-- of_run      run_id; null: the newest run of this DAG, as it is now
-- of_method   of that run; null: the best on validation images
-- of_variant  of the tested images; null: that of the training images
-- experiment  as in runs
-- run_id      as in runs
-- method      as in runs
-- variant     as in runs

create macro chosen_method(of_run, of_method, of_variant) as table

select
    experiment,
    run_id,
    method,
    variant
from runs
where
    case when of_run::varchar is null then current else run_id = of_run end
    and (of_method::varchar is null or method = of_method)
    and variant = coalesce(of_variant::varchar, train_variant)
group by experiment, run_id, method, variant
order by
    max(saved) desc,
    experiment,
    run_id,
    max(validation_ap) desc nulls last,
    method
limit 1
