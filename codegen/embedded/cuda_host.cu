/* Runs @PLAN@ on a CUDA device and says how often its neurons fired.
 *
 *     ./@NAME@ [--steps N] [--events FILE] [--values FILE] [--set NAME=VALUE]... [--data DIR] [--way resident|graph]@OPTION@
 *
 * FILE gets lines of comma-separated values: of every event, or of every recorded number@ABOUT@. The files *.bin are looked for in DIR, without
 * --data where the program lies. Small networks run in one kernel that stays on the device, larger ones as CUDA graphs of many steps. */
#include "@NAME@.cu" /* first: its names must meet no header's */
#include "@NAME@.h"

#include <cuda_runtime.h>

#include <chrono>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <string>
#include <vector>

namespace {

using namespace folder;

[[noreturn]] void leave(const char *const about, const char *const what)
{
    fprintf(stderr, "@NAME@: %s: %s\n", about, what);
    exit(1);
}

void must(const cudaError_t answer, const char *const what)
{
    if (answer != cudaSuccess) leave(what, cudaGetErrorString(answer));
}

enum { BUFFERS = sizeof buffers/sizeof buffers[0], WORDS = sizeof words/sizeof words[0] };
const long long LAST_STEP = 1073741824; /* step numbers are 32-bit on the device */

struct setting {
    std::string name;
    double value;
};

/* The device and what is on it. */
struct network {
    char *memory[BUFFERS];
    uint64_t model[WORDS];
    cudaStream_t stream;
    int multiprocessors, resident_blocks, cooperates;
    bool resident;
    cudaGraphExec_t graph;
    std::vector<long long> base, happened; /* by recorder of values, of events */
    FILE *events, *values;
    std::string directory; /* of the files *.bin */
};

long long smaller(const long long a, const long long b) { return a < b ? a : b; }
unsigned long long size_of(const char type) { return type == 'd' ? 8 : type == 'b' ? 1 : 4; }

/* --- memory ------------------------------------------------------------------------------------------------------------ */

std::vector<char> content_of(const buffer_row &row, const std::string &directory)
{
    std::vector<char> bytes(row.bytes, 0);
    if (row.file != nullptr) {
        const std::string path = directory.empty() ? row.file : directory + "/" + row.file;
        FILE *const file = fopen(path.c_str(), "rb");
        if (file == nullptr) leave(path.c_str(), "cannot be read; --data names the directory of the files");
        const size_t got = fread(bytes.data(), 1, bytes.size(), file);
        fclose(file);
        if (got == 0) leave(path.c_str(), "is empty");
    }
    for (unsigned long long i = 0; i < row.repeat; i++) memcpy(&bytes[i*row.width], &row.element, row.width);
    return bytes;
}

void put(network &net, const int number)
{
    const buffer_row &row = buffers[number];
    if (row.file == nullptr && row.repeat == 0) {
        must(cudaMemset(net.memory[number], 0, row.bytes), row.name);
        return;
    }
    const std::vector<char> bytes = content_of(row, net.directory);
    must(cudaMemcpy(net.memory[number], bytes.data(), bytes.size(), cudaMemcpyHostToDevice), row.name);
}

void write_as(void *const to, const char type, const double value)
{
    switch (type) {
    case 'd': *(double *)to = value; break;
    case 'f': *(float *)to = (float)value; break;
    case 'i': *(int32_t *)to = (int32_t)value; break;
    default: *(uint8_t *)to = value != 0;
    }
}

/* Parameters and inputs by their names; inputs of the network answer to their bare name, too. */
void set(network &net, const std::vector<setting> &settings)
{
    for (const setting &one : settings) {
        int found = 0;
        for (const parameter_row *row = parameters; row->name != nullptr; row++) {
            const char *const dot = strrchr(row->name, '.');
            if (one.name != row->name && !(row->input && dot != nullptr && one.name == dot + 1)) continue;
            const size_t width = size_of(row->type);
            std::vector<char> bytes(row->count*width);
            for (unsigned long long i = 0; i < row->count; i++) write_as(&bytes[i*width], row->type, one.value);
            must(cudaMemcpy(net.memory[row->buffer], bytes.data(), bytes.size(), cudaMemcpyHostToDevice), row->name);
            found++;
        }
        if (found == 0) {
            fprintf(stderr, "@NAME@: nothing that may be set is called '%s'; there are:\n", one.name.c_str());
            for (const parameter_row *row = parameters; row->name != nullptr; row++) fprintf(stderr, "    %s [%s]\n", row->name, row->unit);
            exit(2);
        }
    }
}

/* Queues have room for all of their synapses where that takes a quarter of the free memory or less; else what fits there. */
void allocate(network &net)
{
    unsigned long long bytes[BUFFERS];
    size_t free = 0, total = 0;
    for (int i = 0; i < WORDS; i++) net.model[i] = words[i].value;
    for (int i = 0; i < BUFFERS; i++) bytes[i] = buffers[i].bytes;
    must(cudaMemGetInfo(&free, &total), "memory");
    for (const queue_row *row = queues; row->name != nullptr; row++) {
        const long long room = smaller((long long)net.model[row->capacity], (long long)(free/4/(4*(size_t)row->ring)));
        net.model[row->capacity] = room > 1 ? (uint64_t)room : 1;
        bytes[words[row->items].buffer] = 4*net.model[row->capacity]*(uint64_t)row->ring;
    }
    for (int i = 0; i < BUFFERS; i++) {
        must(cudaMalloc((void **)&net.memory[i], bytes[i]), buffers[i].name);
        if (bytes[i] == buffers[i].bytes) put(net, i);
        else must(cudaMemset(net.memory[i], 0, bytes[i]), buffers[i].name);
    }
    for (int i = 0; i < WORDS; i++)
        if (words[i].buffer >= 0) net.model[i] = (uint64_t)(uintptr_t)net.memory[words[i].buffer];
    must(cudaMemcpyToSymbol(model, net.model, sizeof net.model), "struct snn_model");
}

/* --- kernels ----------------------------------------------------------------------------------------------------------- */

int grid_of(const network &net, const kernel_row &kernel)
{
    const long long most = smaller(MOST_BLOCKS, (long long)BLOCKS_EACH*net.multiprocessors);
    const long long blocks = smaller(most, (kernel.work + BLOCK - 1)/BLOCK);
    return blocks > 1 ? (int)blocks : 1;
}

void launch(const network &net, const kernel_row &kernel, long long step)
{
    void *arguments[] = {&step};
    must(cudaLaunchKernel(kernel.function, dim3(grid_of(net, kernel)), dim3(BLOCK), arguments, 0, net.stream), kernel.name);
}

void section(const network &net, const kernel_row *kernel, const long long step)
{
    for (; kernel->function != nullptr; kernel++) launch(net, *kernel, step);
    must(cudaStreamSynchronize(net.stream), "the device");
}

/* Blocks of the kernel that stays: one where its threads have two elements each at most, else enough for one each. */
int resident_grid(const network &net)
{
    if (RESIDENT_ITEMS <= 2*RESIDENT_BLOCK) return 1;
    const long long most = smaller(net.resident_blocks, MOST_BLOCKS);
    const long long blocks = smaller(most, ((long long)RESIDENT_ITEMS + RESIDENT_BLOCK - 1)/RESIDENT_BLOCK);
    return blocks > 1 ? (int)blocks : 1;
}

void open(network &net, const char *const way)
{
    int device = 0, each = 1;
    must(cudaGetDevice(&device), "no CUDA device");
    must(cudaDeviceGetAttribute(&net.multiprocessors, cudaDevAttrMultiProcessorCount, device), "the device");
    must(cudaDeviceGetAttribute(&net.cooperates, cudaDevAttrCooperativeLaunch, device), "the device");
    must(cudaStreamCreate(&net.stream), "the device");
    must(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&each, (const void *)snn_resident, RESIDENT_BLOCK, 0), "snn_resident");
    net.resident_blocks = net.cooperates ? each*net.multiprocessors : 1;
    const long long threads = (long long)net.resident_blocks*RESIDENT_BLOCK;
    net.resident = step_kernels[0].function == nullptr || RESIDENT_ITEMS <= RESIDENT_ITEMS_EACH*threads;
    if (strcmp(way, "resident") == 0) net.resident = true;
    if (strcmp(way, "graph") == 0 && step_kernels[0].function != nullptr) net.resident = false;
}

int step_count()
{
    int count = 0;
    while (step_kernels[count].function != nullptr) count++;
    return count;
}

/* A graph of many steps, captured once. */
void capture(network &net, const int repeat)
{
    cudaGraph_t graph;
    for (const kernel_row *kernel = step_kernels; kernel->function != nullptr; kernel++) { /* loads it: a capture cannot */
        cudaFuncAttributes about;
        must(cudaFuncGetAttributes(&about, kernel->function), kernel->name);
    }
    must(cudaStreamBeginCapture(net.stream, cudaStreamCaptureModeGlobal), "a graph");
    for (int i = 0; i < repeat; i++)
        for (const kernel_row *kernel = step_kernels; kernel->function != nullptr; kernel++) launch(net, *kernel, 0);
    must(cudaStreamEndCapture(net.stream, &graph), "a graph");
    must(cudaGraphInstantiateWithFlags(&net.graph, graph, 0), "a graph");
    must(cudaGraphDestroy(graph), "a graph");
}

/* --- time -------------------------------------------------------------------------------------------------------------- */

/* stop, step, lost, the barrier's two halves, then the step of every launch: snn_clock of @NAME@.cu. */
enum { STOP, STEP, LOST, BARRIER, AT, CLOCK_WORDS = CLOCK_BYTES/8 };
const int CLOCK = 0; /* the first buffer, as the first word of the model says */

void look(const network &net, long long *const clock)
{
    must(cudaStreamSynchronize(net.stream), "the device");
    must(cudaMemcpy(clock, net.memory[words[CLOCK].buffer], CLOCK_BYTES, cudaMemcpyDeviceToHost), "the clock");
    if (clock[LOST] != 0)
        for (const queue_row *row = queues; row->name != nullptr; row++)
            if (row->number == clock[LOST]) leave(row->name, "more synapses are reached in one step than the device has memory for");
}

/* Run until `stop`, or until a record is nearly full; the next step. */
long long advance(network &net, const long long step, const long long stop)
{
    long long clock[CLOCK_WORDS] = {stop, step, 0, 0};
    for (int i = AT; i < CLOCK_WORDS; i++) clock[i] = step;
    must(cudaMemcpy(net.memory[words[CLOCK].buffer], clock, CLOCK_BYTES, cudaMemcpyHostToDevice), "the clock");
    if (net.resident) {
        void *arguments[] = {nullptr};
        const dim3 blocks(resident_grid(net)), threads(RESIDENT_BLOCK);
        const void *const kernel = (const void *)snn_resident;
        if (net.cooperates) must(cudaLaunchCooperativeKernel(kernel, blocks, threads, arguments, 0, net.stream), "snn_resident");
        else must(cudaLaunchKernel(kernel, blocks, threads, arguments, 0, net.stream), "snn_resident");
        look(net, clock);
        return clock[STEP];
    }
    const int count = step_count(), repeat = GRAPH_KERNELS/count > 1 ? GRAPH_KERNELS/count : 1;
    long long reached = step;
    while (reached < smaller(stop, clock[STOP])) {
        const long long graphs = smaller(GRAPHS_AHEAD, (stop - reached)/((long long)repeat*STEPS_EACH));
        if (graphs > 0 && net.graph == nullptr) capture(net, repeat);
        for (long long i = 0; i < graphs; i++) must(cudaGraphLaunch(net.graph, net.stream), "a graph");
        for (long long i = 0; graphs == 0 && i < (stop - reached + STEPS_EACH - 1)/STEPS_EACH; i++)
            for (int k = 0; k < count; k++) launch(net, step_kernels[k], 0);
        look(net, clock);
        for (int i = AT; i < CLOCK_WORDS; i++) reached = clock[i] > reached ? clock[i] : reached;
    }
    return reached;
}

/* --- records ----------------------------------------------------------------------------------------------------------- */

double time_of(const long long step) { return (double)(step + TIME_OFFSET)*DT; }

int in_order(const void *const a, const void *const b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

void take_events(network &net, const int number)
{
    const event_row &row = event_records[number];
    int32_t count = 0;
    must(cudaMemcpy(&count, net.memory[row.count], sizeof count, cudaMemcpyDeviceToHost), row.label);
    if (count == 0) return;
    net.happened[number] += count;
    if (net.events != nullptr) { /* step*2^32 + index, in no order within a step */
        std::vector<uint64_t> events(count);
        must(cudaMemcpy(events.data(), net.memory[row.events], 8*(size_t)count, cudaMemcpyDeviceToHost), row.label);
        qsort(events.data(), count, 8, in_order);
        for (const uint64_t event : events)
            fprintf(net.events, "%s,%lld,%.17g,%u\n", row.label, (long long)(event >> 32), time_of((long long)(event >> 32)),
                    (unsigned)event);
    }
    must(cudaMemset(net.memory[row.count], 0, 8), row.label);
}

double number_at(const char *const bytes, const char type, const unsigned long long at)
{
    switch (type) {
    case 'd': return ((const double *)bytes)[at];
    case 'f': return ((const float *)bytes)[at];
    case 'i': return ((const int32_t *)bytes)[at];
    default: return ((const uint8_t *)bytes)[at];
    }
}

std::vector<char> copied(const char *const from, const unsigned long long size, const char *const about)
{
    std::vector<char> bytes(size);
    must(cudaMemcpy(bytes.data(), from, size, cudaMemcpyDeviceToHost), about);
    return bytes;
}

void write_value(const network &net, const value_row &row, const long long step, const unsigned long long item, const double value)
{
    fprintf(net.values, "%s,%lld,%.17g,%llu,%.17g\n", row.label, step, time_of(step), item, value);
}

/* What is recorded as it is before the first step, as step -1. */
void take_initial(const network &net)
{
    for (const value_row *row = value_records; net.values != nullptr && row->label != nullptr; row++) {
        if (row->width == 0) continue;
        std::vector<char> chosen;
        unsigned long long last = row->width - 1;
        if (row->chosen >= 0) chosen = copied(net.memory[row->chosen], 8*row->width, row->label);
        const int64_t *const places = (const int64_t *)chosen.data();
        for (unsigned long long item = 0; row->chosen >= 0 && item < row->width; item++)
            last = item == 0 || (uint64_t)places[item] > last ? (uint64_t)places[item] : last;
        const unsigned long long size = size_of(row->type);
        const std::vector<char> bytes = copied(net.memory[row->array] + row->slot*size, (last + 1)*size, row->label);
        for (unsigned long long item = 0; item < row->width; item++)
            write_value(net, *row, -1, item, number_at(bytes.data(), row->type, row->chosen >= 0 ? (uint64_t)places[item] : item));
    }
}

void take_values(network &net, const int number, const long long step)
{
    const value_row &row = value_records[number];
    const long long rows = step/row.every - net.base[number];
    if (rows > 0 && row.width > 0 && net.values != nullptr) {
        const std::vector<char> bytes = copied(net.memory[row.rows], rows*row.width*size_of(row.type), row.label);
        for (long long i = 0; i < rows; i++)
            for (unsigned long long item = 0; item < row.width; item++)
                write_value(net, row, (net.base[number] + i + 1)*row.every - 1, item,
                            number_at(bytes.data(), row.type, i*row.width + item));
    }
    net.base[number] = step/row.every;
    must(cudaMemcpy(net.memory[row.base], &net.base[number], 8, cudaMemcpyHostToDevice), row.label);
}

void empty_records(network &net, const long long step)
{
    for (size_t i = 0; i < net.happened.size(); i++) take_events(net, (int)i);
    for (size_t i = 0; i < net.base.size(); i++) take_values(net, (int)i, step);
}

/* The step at which a record of values is full. */
long long full_at(const network &net)
{
    long long stop = LAST_STEP;
    for (size_t i = 0; i < net.base.size(); i++)
        stop = smaller(stop, (net.base[i] + value_records[i].kept + 1)*value_records[i].every - 1);
    return stop;
}

/* A trial begins: what is new in each gets its first content again. */
void start(network &net, const long long step)
{
    for (int i = 0; i < BUFFERS; i++)
        if (buffers[i].again) put(net, i);
    section(net, trial_start_kernels, step);
}

/* The steps from `step` until `end`; records are emptied where they are full, and at the end. */
long long run(network &net, long long step, const long long end)
{
    while (step < end) {
        const long long stop = smaller(end, full_at(net));
        if (stop > step) step = advance(net, step, stop);
        empty_records(net, step);
    }
    return step;
}

FILE *opened(const char *const path, const char *const head)
{
    FILE *const file = fopen(path, "w");
    if (file == nullptr) leave(path, "cannot be written");
    fputs(head, file);
    return file;
}

@PRESENT@[[noreturn]] void usage()
{
    fprintf(stderr, "usage: @NAME@ [--steps N] [--events FILE] [--values FILE] [--set NAME=VALUE]... [--data DIR] [--way resident|graph]@OPTION@\n");
    exit(2);
}

} // namespace

int main(const int argc, char **const argv)
{
    network net = {};
    long long steps = STEPS;
    const char *const slash = strrchr(argv[0], '/');
    net.directory = slash == nullptr ? "" : std::string(argv[0], (size_t)(slash - argv[0]));
    std::vector<setting> settings;
    const char *way = "";
@DECLARED@    for (int i = 1; i < argc; i += 2) {
        if (i + 1 == argc) usage();
        const char *const option = argv[i], *const next = argv[i + 1];
        char *end = nullptr;
        if (strcmp(option, "--steps") == 0) {
            steps = strtoll(next, &end, 10);
            if (end == next || *end != '\0' || steps < 0 || steps > LAST_STEP) leave("--steps", "needs a number from 0 to 1073741824");
        } else if (strcmp(option, "--events") == 0) {
            net.events = opened(next, "recorder,step,time_ms,index\n");
        } else if (strcmp(option, "--values") == 0) {
            net.values = opened(next, "recorder,step,time_ms,index,value\n");
        } else if (strcmp(option, "--data") == 0) {
            net.directory = next;
        } else if (strcmp(option, "--way") == 0) {
            way = next;
            if (strcmp(way, "resident") != 0 && strcmp(way, "graph") != 0) usage();
@TAKEN@        } else if (strcmp(option, "--set") == 0 && strchr(next, '=') != nullptr) {
            const char *const sign = strchr(next, '=');
            const double value = strtod(sign + 1, &end);
            if (end == sign + 1 || *end != '\0') leave("--set", "needs NAME=NUMBER, in the units of the table");
            settings.push_back({std::string(next, (size_t)(sign - next)), value});
        } else {
            usage();
        }
    }
    for (const event_row *row = event_records; row->label != nullptr; row++) net.happened.push_back(0);
    for (const value_row *row = value_records; row->label != nullptr; row++) net.base.push_back(0);
    open(net, way);
    allocate(net);
    set(net, settings);
    section(net, setup_kernels, 0);
    set(net, settings); /* what setup drew is replaced, too */
    section(net, coefficients_kernels, 0);
    const auto began = std::chrono::steady_clock::now();
@RUN@    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
    if (net.events != nullptr) fclose(net.events);
    if (net.values != nullptr) fclose(net.values);
    printf("@NAME@: %lld steps of %g ms, %s, %.3g s\n", steps, DT, net.resident ? "resident" : "graphs", seconds);
    for (size_t i = 0; i < net.happened.size(); i++) {
        const event_row &row = event_records[i];
        const double rate = steps > 0 && row.size > 0 ? (double)net.happened[i]/(double)row.size/((double)steps*DT/1000.0) : 0.0;
        printf("%s: %lld events, %lld neurons, %.4g /s each\n", row.label, net.happened[i], row.size, rate);
    }
    for (char *const memory : net.memory) must(cudaFree(memory), "memory");
    return 0;
}
