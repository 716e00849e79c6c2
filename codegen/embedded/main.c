/* Runs @PLAN@ and says how often its neurons fired.
 *
 *     ./@NAME@ [--steps N] [--threads N] [--events FILE] [--values FILE]@OPTION@
 *
 * FILE gets lines of comma-separated values: of every event, or of every recorded number@ABOUT@. */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "@NAME@.h"

#define CHUNK 1000 /* steps between two looks at what was recorded */

static int64_t happened[@UPPER@_RECORDS + 1];

static double time_of(const int64_t step) { return (double)(step + @UPPER@_TIME_OFFSET)*@UPPER@_DT; }

static void write_values(FILE *const file, const int number, const int64_t rows, const int64_t *const steps,
                         const void *const values, const int64_t width)
{
    for (int64_t row = 0; row < rows; row++)
        for (int64_t item = 0; item < width; item++) {
            const int64_t at = row*width + item;
            double value = 0;
            switch (@NAME@_records[number].type) {
            case 'r': value = (double)((const @NAME@_real *)values)[at]; break;
            case 'i': value = ((const int32_t *)values)[at]; break;
            default: value = ((const uint8_t *)values)[at]; break;
            }
            fprintf(file, "%s,%lld,%.17g,%lld,%.17g\n", @NAME@_records[number].name, (long long)steps[row], time_of(steps[row]),
                    (long long)item, value);
        }
}

/* Count, write and forget what was recorded. */
static void drain(@NAME@_model *const m, FILE *const events, FILE *const values)
{
    for (int number = 0; number < @UPPER@_RECORDS; number++) {
        const int64_t *steps = NULL;
        const void *what = NULL;
        const int64_t count = @NAME@_recorded(m, number, &steps, &what);
        happened[number] += count;
        if (@NAME@_records[number].type == 'e') {
            for (int64_t i = 0; events != NULL && i < count; i++)
                fprintf(events, "%s,%lld,%.17g,%d\n", @NAME@_records[number].name, (long long)steps[i], time_of(steps[i]),
                        (int)((const int32_t *)what)[i]);
        } else if (values != NULL) {
            write_values(values, number, count, steps, what, @NAME@_width(m, number));
        }
        @NAME@_forget(m, number);
    }
}

#if @UPPER@_TRIALS > 0
static void write_trial(FILE *const file, const int64_t trial, const int64_t step)
{
    const @NAME@_trial_row row = @NAME@_trial(trial);
    fprintf(file, "%lld,%lld,%lld,%lld,%.17g,%.17g,%.17g", (long long)trial, (long long)row.phase, (long long)row.epoch,
            (long long)row.sample, (double)step*@UPPER@_DT, (double)(step + row.steps)*@UPPER@_DT,
            (double)(step + row.steps + row.rest)*@UPPER@_DT);
    for (int label = 0; label < @UPPER@_LABELS; label++) {
        const char *const text = @NAME@_label(trial, label);
        fprintf(file, ",%s", text == NULL ? "" : text);
    }
    fputc('\n', file);
}
#endif

/* What @NAME@_run and its like give when they fail. */
static int failed(@NAME@_model *const m, const int64_t ran, const int threads)
{
    fprintf(stderr, ran == -1 ? "@NAME@: the system refused %d threads\n" : "@NAME@: no memory for what was recorded (%d threads)\n",
            threads);
    @NAME@_destroy(m);
    return 1;
}

static FILE *opened(const char *const path, const char *const head)
{
    FILE *const file = fopen(path, "w");
    if (file == NULL) {
        fprintf(stderr, "@NAME@: cannot write '%s': %s\n", path, strerror(errno));
        exit(1);
    }
    fputs(head, file);
    return file;
}

static long long whole(const char *const option, const char *const text)
{
    char *end = NULL;
    const long long value = strtoll(text, &end, 10);
    if (end == text || *end != '\0' || value < 0 || value > 1073741824) {
        fprintf(stderr, "@NAME@: %s needs a number from 0 to 1073741824, not '%s'\n", option, text);
        exit(2);
    }
    return value;
}

int main(const int argc, char **const argv)
{
    int64_t steps = @UPPER@_STEPS;
    int threads = 1;
    FILE *events = NULL, *values = NULL, *trials = NULL;
    for (int i = 1; i < argc; i += 2) {
        const char *const next = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(argv[i], "--steps") == 0) {
            steps = whole(argv[i], next);
        } else if (strcmp(argv[i], "--threads") == 0) {
            threads = (int)whole(argv[i], next);
        } else if (strcmp(argv[i], "--events") == 0 && *next != '\0') {
            events = opened(next, "recorder,step,time_ms,index\n");
        } else if (strcmp(argv[i], "--values") == 0 && *next != '\0') {
            values = opened(next, "recorder,step,time_ms,index,value\n");
#if @UPPER@_TRIALS > 0
        } else if (strcmp(argv[i], "--trials") == 0 && *next != '\0') {
            trials = opened(next, "trial,phase,epoch,sample,start_ms,end_ms,rest_end_ms");
            for (int label = 0; label < @UPPER@_LABELS; label++) fprintf(trials, ",%s", @NAME@_labels[label]);
            fputc('\n', trials);
#endif
        } else {
            fprintf(stderr, "usage: @NAME@ [--steps N] [--threads N] [--events FILE] [--values FILE]@OPTION@\n");
            return 2;
        }
    }
    @NAME@_model *const m = @NAME@_new(threads);
    if (m == NULL) {
        fprintf(stderr, "@NAME@: there is not enough memory\n");
        return 1;
    }
    int64_t step = 0;
#if @UPPER@_TRIALS > 0
    for (int64_t trial = 0; trial < @UPPER@_TRIALS && step < steps; trial++) {
        const int64_t ran = @NAME@_show(m, trial, step);
        if (ran < 0) return failed(m, ran, threads);
        if (trials != NULL) write_trial(trials, trial, step);
        step += ran;
        drain(m, events, values);
        @NAME@_trial_end(m, step);
    }
#else
    if (@UPPER@_RECORD_INITIAL && !@NAME@_record(m, -1)) return failed(m, -2, threads);
    while (step < steps) {
        const int64_t count = steps - step < CHUNK ? steps - step : CHUNK;
        const int64_t ran = @NAME@_run(m, step, count);
        if (ran < 0) return failed(m, ran, threads);
        step += count;
        drain(m, events, values);
    }
#endif
    drain(m, events, values);
    const double seconds = (double)step*@UPPER@_DT/1000.0;
    printf("@PLAN@: %lld steps, %g ms\n", (long long)step, seconds*1000.0);
    for (int number = 0; number < @UPPER@_RECORDS; number++) {
        const @NAME@_record_row *const about = &@NAME@_records[number];
        if (about->type != 'e') continue;
        const double rate = about->size > 0 && seconds > 0 ? (double)happened[number]/(double)about->size/seconds : 0.0;
        printf("  %-24s %10lld events, %lld neurons, %.3f Hz\n", about->name, (long long)happened[number], (long long)about->size, rate);
    }
    @NAME@_destroy(m);
    int bad = 0;
    if (events != NULL) bad |= ferror(events) | fclose(events);
    if (values != NULL) bad |= ferror(values) | fclose(values);
    if (trials != NULL) bad |= ferror(trials) | fclose(trials);
    if (bad) fprintf(stderr, "@NAME@: not everything could be written\n");
    return bad ? 1 : 0;
}
