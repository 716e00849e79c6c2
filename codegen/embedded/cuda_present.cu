/* --- trials ------------------------------------------------------------------------------------------------------------- */

/* A column of the phase that is shown. */
struct loaded_column {
    const shown_column *row;
    std::vector<double> values;
    std::vector<unsigned char> codes;
};

template <typename number> std::vector<number> file_of(const char *const name, const std::string &directory)
{
    const std::string path = directory.empty() ? name : directory + "/" + name;
    FILE *const file = fopen(path.c_str(), "rb");
    if (file == nullptr) leave(path.c_str(), "cannot be read; --data names the directory of the files");
    std::vector<number> found;
    number part[4096];
    for (size_t got; (got = fread(part, sizeof(number), 4096, file)) > 0;) found.insert(found.end(), part, part + got);
    fclose(file);
    return found;
}

std::vector<loaded_column> columns_of(const shown_phase &phase, const std::string &directory)
{
    std::vector<loaded_column> columns;
    for (const shown_column *row = phase.columns; row->arrays != nullptr; row++) {
        columns.push_back({row, file_of<double>(row->values, directory), {}});
        if (row->codes != nullptr) columns.back().codes = file_of<unsigned char>(row->codes, directory);
        const size_t wanted = (size_t)(phase.trials*row->slices*row->size);
        if ((row->codes != nullptr ? columns.back().codes.size() : columns.back().values.size()) != wanted)
            leave(row->codes != nullptr ? row->codes : row->values, "has not as many values as the samples");
    }
    return columns;
}

/* One slice of a sample into the arrays that take it; without a sample (-1) zeros. */
void show_slice(network &net, const loaded_column &column, const long long sample, const long long slice)
{
    const long long size = column.row->size, start = (sample*column.row->slices + slice)*size;
    for (const shown_array *array = column.row->arrays; array->buffer >= 0; array++) {
        std::vector<char> bytes(array->count*size_of(array->type));
        for (unsigned long long i = 0; i < array->count; i++) {
            const long long at = start + (long long)(i%(unsigned long long)size);
            write_as(&bytes[i*size_of(array->type)], array->type,
                     sample < 0 ? 0.0 : column.row->codes != nullptr ? column.values[column.codes[at]] : column.values[at]);
        }
        must(cudaMemcpy(net.memory[array->buffer], bytes.data(), bytes.size(), cudaMemcpyHostToDevice), "a sample");
    }
}

/* A trial: what is frozen in its phase, the sample, fresh states, its steps, the rest without input. The step after it. */
long long show(network &net, const shown_phase &phase, const std::vector<loaded_column> &columns, const long long sample,
               const long long step, const bool first)
{
    long long slices = 1, at = step;
    for (int which = 0; freezes[which].buffer >= 0; which++) {
        std::vector<char> bytes(freezes[which].count*size_of(freezes[which].type));
        for (unsigned long long i = 0; i < freezes[which].count; i++)
            write_as(&bytes[i*size_of(freezes[which].type)], freezes[which].type, phase.frozen[which]);
        must(cudaMemcpy(net.memory[freezes[which].buffer], bytes.data(), bytes.size(), cudaMemcpyHostToDevice), "what is frozen");
    }
    for (const loaded_column &column : columns) {
        slices = column.row->slices > slices ? column.row->slices : slices;
        show_slice(net, column, sample, 0);
    }
    section(net, coefficients_kernels, step);
    start(net, step);
    if (RECORD_INITIAL && first) take_initial(net);
    for (long long slice = 0; slice < slices; slice++) {
        for (const loaded_column &column : columns)
            if (slice > 0 && column.row->slices > 1) show_slice(net, column, sample, slice*column.row->slices/slices);
        if (slice > 0) section(net, coefficients_kernels, at);
        at = run(net, at, step + phase.steps*(slice + 1)/slices);
    }
    if (phase.rest > 0) {
        for (const loaded_column &column : columns) show_slice(net, column, -1, 0);
        section(net, coefficients_kernels, at);
        at = run(net, at, at + phase.rest);
    }
    section(net, trial_end_kernels, at);
    return at;
}

void write_trial(FILE *const file, const shown_phase &phase, const int number, const long long trial, const long long within,
                 const long long step)
{
    fprintf(file, "%lld,%d,%lld,%lld,%.17g,%.17g,%.17g", trial, number, within/phase.trials, within%phase.trials, (double)step*DT,
            (double)(step + phase.steps)*DT, (double)(step + phase.steps + phase.rest)*DT);
    for (int label = 0; label_names[label] != nullptr; label++)
        fprintf(file, ",%s", phase.labels[label] == nullptr ? "" : phase.labels[label][within%phase.trials]);
    fputc('\n', file);
}

FILE *trials_file(const char *const path)
{
    FILE *const file = opened(path, "trial,phase,epoch,sample,start_ms,end_ms,rest_end_ms");
    for (int label = 0; label_names[label] != nullptr; label++) fprintf(file, ",%s", label_names[label]);
    fputc('\n', file);
    return file;
}

/* All trials, until `steps` have run; the step after the last. */
long long show_all(network &net, const long long steps, FILE *const trials)
{
    long long step = 0, trial = 0;
    for (int number = 0; phases[number].trials > 0; number++) {
        const shown_phase &phase = phases[number];
        const std::vector<loaded_column> columns = columns_of(phase, net.directory);
        for (long long within = 0; within < phase.trials*phase.epochs && step < steps; within++, trial++) {
            if (trials != nullptr) write_trial(trials, phase, number, trial, within, step);
            step = show(net, phase, columns, within%phase.trials, step, trial == 0);
        }
    }
    return step;
}

