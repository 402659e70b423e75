"""Mistakes in a command `clozekit train`, and what is said about each."""

CLASSES = ("task=classification", "data=classification")

RUN = ("train", "name=never", "data.path={corpus}", "max_steps=1")

TRAINING = {
    "an unknown key": (
        (*RUN, "max_step=1"),
        ["unknown key 'max_step'", "did you mean 'max_steps'", "global_batch_size"],
    ),
    "an unknown nested key": (
        (*RUN, "encoder.hiden_size=64"),
        ["unknown key 'encoder.hiden_size'", "did you mean 'hidden_size'", "num_attention_heads"],
    ),
    "an added unknown key": (
        (*RUN, "+encoder.hiden_size=64"),
        ["unknown key 'encoder.hiden_size'"],
    ),
    "an unknown key of the data": (
        (*RUN, "data.mask_prob=0.2"),
        ["unknown key 'data.mask_prob'", "masked_lm_prob"],
    ),
    "an unknown key of another choice than the default": (
        ("train", "name=never", "task=classification", "data=classification", "data.text_colum=a"),
        ["unknown key 'data.text_colum'", "did you mean 'text_column'", "label_column"],
    ),
    "an unknown key beside a choice of the user's own": (
        ("train", "--config-dir", "{own}", "experiment=own", "task.depht=3"),
        ["unknown key 'task.depht'"],
    ),
    "an added unknown key of the data": (
        (*RUN, "+data.mask_prob=0.2"),
        ["unknown key 'data.mask_prob'"],
    ),
    "a word for a number": (
        (*RUN, "global_batch_size=many"),
        ["global_batch_size=many", "integer"],
    ),
    "a broken number": ((*RUN, "encoder.hidden_size=64.5"), ["encoder.hidden_size=64.5"]),
    "a word for a truth": (
        (*RUN, "data.whole_word_mask=perhaps"),
        ["data.whole_word_mask=perhaps", "boolean"],
    ),
    "a negative learning rate": (
        (*RUN, "optimizer.lr=-0.1"),
        ["optimizer.lr=-0.1", "greater than 0"],
    ),
    "heads that do not divide the width": (
        (*RUN, "encoder.hidden_size=100", "encoder.num_attention_heads=3"),
        ["hidden_size=100 is not divisible by num_attention_heads=3"],
    ),
    "next sentences of data that has none": (
        (*RUN, "data=masked_lm"),
        ["task=pretraining predicts next sentences", "data=masked_lm", "task=masked_lm"],
    ),
    "classes for next sentences": (
        ("train", "name=never", "max_steps=1", "data=classification", "data.train={corpus}/a.csv"),
        [
            "task=pretraining does not work with data=classification",
            "use data=pretraining for this task, or task=classification for this data",
        ],
    ),
    **{
        f"{data} for {task}": (
            (
                *("train", "name=never", "max_steps=1", f"task={task}", f"data={data}"),
                *(f"++data.{key}={{corpus}}" for key in ("train", "path")),
            ),
            [f"task={task} does not work with data={kind}", f"or task={kind} for this data"],
        )
        for task, data, kind in (
            ("tagging", "classification", "classification"),
            ("regression", "classification", "classification"),
            ("classification", "glue/stsb", "regression"),
            ("question_answering", "squad_bio", "question_answering_bio"),
            ("multiple_choice", "masked_lm", "masked_lm"),
            ("embedding", "regression", "regression"),
        )
    },
    "a corpus for classes": (
        (*RUN, "task=classification"),
        [
            "task=classification does not work with data=pretraining",
            "task=masked_lm for this data",
        ],
    ),
    **{
        f"{task} with {value}": (
            (
                *("train", "name=never", "max_steps=1", f"task={task}", f"data={task}"),
                *("data.train=nowhere", f"task.{value}"),
            ),
            [f"task.{value.partition('=')[0]}", said],
        )
        for task, value, said in (
            ("classification", "classifier_dropout=2", "less than 1"),
            ("tagging", "classifier_dropout=-1", "greater than or equal to 0"),
            ("regression", "classifier_dropout=1", "less than 1"),
            ("multiple_choice", "classifier_dropout=null", "number"),
            ("embedding", "temperature=0", "greater than 0"),
            ("embedding", "pooling=max", "mean"),
            ("classification", "label_smoothing=-0.5", "greater than or equal to 0"),
            ("tagging", "label_smoothing=1.5", "less than 1"),
            ("classification", "class_weights=equal", "balanced"),
            ("classification", "class_weights=[0,0]", "greater than 0"),
            ("classification", "class_weights=[1,-1]", "-1: a weight should be a non-negative"),
            ("classification", "class_weights={{a: b}}", "a=b: a weight should be a non-negative"),
            ("question_answering", "n_best=-1", "greater than 0"),
            ("question_answering_bio", "n_best=0", "greater than 0"),
            ("question_answering_bio", "max_answer_length=0", "greater than 0"),
            ("question_answering", "no_answer_threshold=nan", "finite"),
        )
    },
    **{
        f"a callback with {value}": (
            (*RUN, "callbacks=[checkpoints,early_stopping]", f"callbacks.{value}"),
            [f"callbacks.{key}", said],
        )
        for key, value, said in (
            ("checkpoints.every_n_steps=0", "checkpoints.every_n_steps=0", "greater than 0"),
            ("checkpoints.every_n_minutes=0", "checkpoints.every_n_minutes=0", "greater than 0"),
            ("checkpoints.save_top_k=-2", "checkpoints.save_top_k=-2", "greater than or equal"),
            ("early_stopping.patience=-1", "early_stopping.patience=-1", "greater than or equal"),
            ("early_stopping.min_delta=-1", "early_stopping.min_delta=-1", "greater than or equal"),
            ("checkpoints.mode=auto", "checkpoints.monitor=loss", "should be min or max"),
            ("checkpoints.mode=most", "checkpoints.mode=most", "'min', 'max' or 'auto'"),
        )
    },
    **{
        f"compile={value}": (
            (*RUN, f"compile={value}"),
            [f"compile={value}: it should be compile=off or compile=default, with compile.mode"],
        )
        for value in ("true", "False")
    },
    "a key of another task": (
        (*RUN, "task.class_weights=balanced"),
        ["unknown key 'task.class_weights'", "class_weights is a key of task=classification"],
    ),
    "labelled rows without their data": (
        ("train", "name=never", "max_steps=1", "data.train=a.csv"),
        ["unknown key 'data.train'", "train is a key of data=classification, data=embedding"],
    ),
    "a key of a callback that is not chosen": (
        (*RUN, "callbacks.early_stopping.patience=3"),
        ["unknown key 'callbacks.early_stopping'", "add early_stopping to callbacks=[…]"],
    ),
    **{
        f"trainer.{value}": ((*RUN, f"++trainer.{value}"), [f"trainer.{value}", said])
        for value, said in (
            ("devices=0", "it should be a number of at least 1"),
            ("devices=-5", "it should be a number of at least 1"),
            ("devices=x", "it should be a number of at least 1"),
            ("accelerator=foo", "auto, cpu, gpu, cuda, mps"),
            ("num_nodes=0", "it should be a number of at least 1"),
            ("deterministic=x", "true, false, warn or null"),
            ("inference_mode=3", "true or false"),
            ("plugins=5", "plugins by _target_"),
            ("profiler=x", "'simple', 'advanced' or 'pytorch'"),
            ("limit_val_batches=-1", "greater than or equal to 0"),
            ("log_every_n_steps=-1", "greater than 0"),
        )
    },
    "a time that is none": ((*RUN, "trainer.max_time=soon"), ["trainer.max_time", "DD:HH:MM:SS"]),
    "a unit of time that is none": (
        (*RUN, "trainer.max_time={{years: 3}}"),
        ["trainer.max_time", "DD:HH:MM:SS"],
    ),
    "a seed that no generator takes": ((*RUN, "seed=4294967296"), ["seed=4294967296"]),
    "a name of another folder": (
        (RUN[0], "name=../x", *RUN[2:]),
        ["name: ../x would be another folder"],
    ),
    "no folder of runs": ((*RUN, "runs_dir="), ["runs_dir: it should be a path, not empty"]),
    "an unknown callback": ((*RUN, "callbacks=[nope]"), ["callbacks=nope does not exist"]),
    "an unknown way to compile": ((*RUN, "compile.mode=fast"), ["compile.mode=fast", "'default'"]),
    "workers that are not there": (
        (*RUN, "data.num_workers=0", "data.prefetch_factor=2"),
        ["data.prefetch_factor=2 requires workers, but num_workers=0"],
    ),
    "an unknown precision of products": (
        (*RUN, "trainer.float32_matmul_precision=low"),
        ["trainer.float32_matmul_precision=low", "'highest'"],
    ),
    "a name that no folder can have": (
        (RUN[0], f"name={'a' * 300}", *RUN[2:]),
        ["name: aaaaaaaaaaaaaaaaaaaa… has 300 bytes; a folder name has at most 255"],
    ),
    "a name that no folder can have within one that can": (
        (RUN[0], f"name='sweep/{'é' * 200}'", *RUN[2:]),
        ["has 400 bytes; a folder name has at most 255"],
    ),
    "a folder of runs that there cannot be": (
        (*RUN, f"runs_dir={'a' * 300}"),
        ["runs_dir: aaaaaaaa", "has 300 bytes"],
    ),
    "a name with a control character": (
        (RUN[0], "name='a\x01'", *RUN[2:]),
        ["name: 'a\\x01' has a character that is not printable"],
    ),
    "a first phase that is longer than what follows": (
        (*RUN, "data.first_phase={{ratio: 0.9, max_seq_length: 512, micro_batch_size: 8}}"),
        ["data.first_phase.max_seq_length=512 is more than max_seq_length=128"],
    ),
    "a first phase that never ends": (
        (*RUN, "data.first_phase={{ratio: 1, max_seq_length: 64, micro_batch_size: 8}}"),
        ["data.first_phase.ratio=1", "less than 1"],
    ),
    "a phase beyond the list": (
        (*RUN, "data.phases=[{{ratio: 1}}]", "data.phases.1.ratio=0.5"),
        ["data.phases.1: data.phases has no item 1, counted from 0; set the whole list"],
    ),
    "a phase without a list": (
        (*RUN, "data.phases.0.ratio=0.5"),
        ["data.phases.0: data.phases has no item 0", "data.phases=[…]"],
    ),
    "phases that are not all of the training": (
        (*RUN, "data.phases=[{{ratio: 0.5}},{{ratio: 0.4}}]"),
        ["data.phases: the ratios 0.5 + 0.4 add up to 0.9, but they should add up to 1"],
    ),
    "a phase that is longer than the encoder": (
        (*RUN, "data.phases=[{{ratio: 0.5}},{{ratio: 0.5, max_seq_length: 9999}}]"),
        ["data.phases.1.max_seq_length=9999 is more than encoder.max_position_embeddings=512"],
    ),
    "a phase with the weight of a source that is not there": (
        (
            *("train", "name=mixed", "data.path.news.path={corpus}", "max_steps=2"),
            "data.phases=[{{ratio: 1, weights: {{new: 1}}}}]",
        ),
        ["data.phases.0.weights.new", "its sources are news"],
    ),
    "a list for a mixture": (
        ("train", "name=mixed", "max_steps=2", "data.path=[data/a,data/b]"),
        ["data.path: [data/a,data/b] is a list; a mixture has a name for each corpus: {news: {"],
    ),
    "a source given twice": (
        ("train", "name=mixed", "max_steps=2", "data.path={{a: {{path: b}}, a: {{path: c}}}}"),
        ["data.path={a: {path: b}, a: {path: c}}: the name a is given twice"],
    ),
    "a plan of a trial": (
        (*RUN, "plan=true", "trainer.fast_dev_run=true"),
        ["plan=true says what a run would take, and trainer.fast_dev_run tries one out"],
    ),
    "a key without effect": (
        (*RUN, "data.max_span_length=3"),
        ["data.max_span_length=3 has no effect with data.span_mask=false"],
    ),
    "embeddings without negatives": (
        (
            *("train", "name=never", "task=embedding", "data=embedding", "max_steps=1"),
            *("data.train={corpus}/tokenizer.json", "data.tokenizer={corpus}/tokenizer.json"),
            *("global_batch_size=1", "micro_batch_size=1"),
        ),
        ["global_batch_size=1 would learn nothing", "at least 2, or data.negative_column"],
    ),
    "a source without a corpus": (
        (
            *("train", "name=mixed", "max_steps=2"),
            "data.path={{news: {{path: {corpus}}}, b: {{path: none}}}}",
        ),
        ["data.path.b.path=none: the corpus folder none does not exist"],
    ),
    "an unknown key of the first phase": (
        (
            *RUN,
            "data.first_phase={{ratio: 0.9, max_seq_length: 64, micro_batch_size: 8, steps: 9}}",
        ),
        ["unknown key 'data.first_phase.steps'"],
    ),
    "sequences longer than the encoder's": (
        (*RUN, "data.max_seq_length=600"),
        ["data.max_seq_length=600", "encoder.max_position_embeddings=512"],
    ),
    "two lengths": ((*RUN, "max_epochs=2"), ["max_steps=1 and max_epochs=2.0", "exactly one"]),
    "no length": (
        ("train", "name=never", "data.path={corpus}"),
        ["the length of training is missing", "exactly one", "max_tokens and budget"],
    ),
    "an unknown decay": (
        (*RUN, "schedule.decay=steep"),
        ["schedule.decay=steep", "'linear', 'cosine', '1-sqrt' or 'constant'"],
    ),
    "an unknown precision": ((*RUN, "trainer.precision=8"), ["trainer.precision=8", "bf16-mixed"]),
    "shares above one": (
        (*RUN, "data.mask_token_prob=0.95"),
        ["data.mask_token_prob=0.95 and random_token_prob=0.1 add up to more than 1"],
    ),
    "a missing corpus": ((*RUN, "data.path=nowhere"), ["nowhere", "clozekit prepare"]),
    "a missing labelled file": (
        ("train", "name=never", "max_steps=1", *CLASSES, "data.train=nowhere.csv"),
        ["data.train=nowhere.csv does not exist"],
    ),
    "a missing name": (RUN[:1] + RUN[2:], ["name is missing; set name="]),
    "a missing nested key": (("train", "name=never", "max_steps=1"), ["data.path is missing"]),
    "a name with a space": ((*RUN[:1], "name='a b'", *RUN[2:]), ["name=a b"]),
    "an unknown choice": (
        (*RUN, "encoder=enormous"),
        ["encoder=enormous does not exist; the choices are", "base", "tiny"],
    ),
    "an unknown choice in a folder": (
        (*RUN, "data=glue/nope"),
        ["data=glue/nope does not exist; the choices are", "classification", "glue/mrpc"],
    ),
    "a frozen encoder of another kind": (
        (*RUN, "fine_tuning.freeze_encoder=perhaps"),
        ["fine_tuning.freeze_encoder=perhaps", "boolean"],
    ),
    "an unknown experiment": (
        (*RUN, "experiment=nothing"),
        ["experiment=nothing does not exist", "demo_pretraining"],
    ),
    "an unknown group": ((*RUN, "encodr=tiny"), ["encodr"]),
    "no override at all": ((*RUN, "quickly"), ["'quickly' is not an override", "key=value"]),
    "an interpolation that leads nowhere": ((*RUN, "seed=${{nothing}}"), ["nothing"]),
    "W&B online without a key": ((*RUN, "logger.wandb.mode=online"), ["WANDB_API_KEY", "offline"]),
}
