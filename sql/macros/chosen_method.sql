-- One row: the method of a trained run that a query is about; none where no
-- run has it. It is a table with two arguments:
-- from predictions inner join chosen_method(null, 'global')
--     using (experiment, run_id, method)
--
-- of_run      run_id; null: the newest run
-- of_method   of that run; null: its best mean average precision
-- experiment  as in runs
-- run_id      as in runs
-- method      as in runs

create macro chosen_method(of_run, of_method) as table

select
    experiment,
    run_id,
    method
from runs
where
    (of_run::varchar is null or run_id = of_run)
    and (of_method::varchar is null or method = of_method)
group by experiment, run_id, method
order by
    max(saved) desc,
    experiment,
    run_id,
    avg(ap) desc nulls last,
    method
limit 1
