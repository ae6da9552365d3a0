"""The loop of a stage: poll, fold, commit; and again. Round the pure folds, with a bus and a clock."""
