/* What @NAME@ presents, phase by phase: @TRIALS@ trials of @SAMPLESTEPS@ steps together. The values lie in the files that the columns name.
 *
 * @NAME@.h includes it, and manifest.json says the same. */

/* Memory of an array that takes a sample, or that stops plasticity. buffer -1 ends a table. */
struct shown_array {
    int buffer;
    char type;
    unsigned long long count;
};

/* A sample of an input: `slices` times `size` values, the slices shown in equal parts of a trial. codes: a file with a byte for each value,
 * which stands for one of the doubles of the other file; without codes that holds every value. arrays null ends a table. */
struct shown_column {
    const shown_array *arrays;
    long long slices, size;
    const char *values, *codes;
};

/* `trials` samples, `epochs` times in order: `steps` with the sample, `rest` without input. frozen: by number in freezes. labels: texts by
 * number in label_names, null where the phase has none. trials 0 ends the table. */
struct shown_phase {
    long long trials, epochs, steps, rest;
    const shown_column *columns;
    const unsigned char *frozen;
    const char *const *const *labels;
};

@SAMPLETABLES@
