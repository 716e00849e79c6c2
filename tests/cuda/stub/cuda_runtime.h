/* The names of the CUDA runtime that an exported host.cu calls, over codegen/cuda/shim.h: its device is the processor.
 *
 * What a device would refuse is refused here: launches into memory of the host, graphs that copy, blocks that do not all fit. */
#ifndef SNN_STUB_RUNTIME
#define SNN_STUB_RUNTIME

#include <stdlib.h>
#include <string.h>

#include <vector>

enum cudaError_t { cudaSuccess = 0, cudaErrorMemoryAllocation = 2, cudaErrorLaunchFailure = 719, cudaErrorNotPermitted = 800 };
enum cudaMemcpyKind { cudaMemcpyHostToHost, cudaMemcpyHostToDevice, cudaMemcpyDeviceToHost, cudaMemcpyDeviceToDevice };
enum cudaDeviceAttr { cudaDevAttrMultiProcessorCount = 16, cudaDevAttrCooperativeLaunch = 95 };
enum cudaStreamCaptureMode { cudaStreamCaptureModeGlobal };

struct stub_launch {
    const void *function;
    unsigned grid, block;
    long long argument;
};

struct stub_graph {
    std::vector<stub_launch> launches;
};

struct stub_stream {
    bool capturing;
    stub_graph captured;
};

struct cudaFuncAttributes {
    int numRegs;
};

typedef stub_stream *cudaStream_t;
typedef stub_graph *cudaGraph_t;
typedef stub_graph *cudaGraphExec_t;

static int stub_capturing = 0;
enum { STUB_PROCESSORS = 2, STUB_BLOCKS_EACH = 2 };

static inline const char *cudaGetErrorString(const cudaError_t error)
{
    if (error == cudaErrorLaunchFailure && snn_it.error[0]) return snn_it.error;
    return error == cudaErrorMemoryAllocation ? "out of memory" : error == cudaErrorNotPermitted ? "not permitted" : "an error";
}

static inline cudaError_t cudaGetDevice(int *device) { return *device = 0, cudaSuccess; }

static inline cudaError_t cudaDeviceGetAttribute(int *value, const cudaDeviceAttr which, int)
{
    *value = which == cudaDevAttrMultiProcessorCount ? (int)STUB_PROCESSORS : 1;
    return cudaSuccess;
}

static inline cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, const void *, int, size_t)
{
    return *blocks = STUB_BLOCKS_EACH, cudaSuccess;
}

static inline cudaError_t cudaFuncGetAttributes(cudaFuncAttributes *about, const void *) { return about->numRegs = 1, cudaSuccess; }

static inline cudaError_t cudaMemGetInfo(size_t *free, size_t *total) { return *free = *total = (size_t)1 << 32, cudaSuccess; }

static inline cudaError_t cudaMalloc(void **place, const size_t size)
{
    *place = aligned_alloc(256, (size + 255)/256*256);
    if (*place != nullptr) memset(*place, 0xab, size); /* whatever was there */
    return *place == nullptr ? cudaErrorMemoryAllocation : cudaSuccess;
}

static inline cudaError_t cudaFree(void *place) { return free(place), cudaSuccess; }

static inline cudaError_t cudaMemset(void *place, const int value, const size_t size)
{
    if (stub_capturing) return cudaErrorNotPermitted;
    return memset(place, value, size), cudaSuccess;
}

static inline cudaError_t cudaMemcpy(void *target, const void *source, const size_t size, cudaMemcpyKind)
{
    if (stub_capturing) return cudaErrorNotPermitted;
    return memcpy(target, source, size), cudaSuccess;
}

template <typename T> static cudaError_t cudaMemcpyToSymbol(T &symbol, const void *source, const size_t size)
{
    if (stub_capturing || size > sizeof symbol) return cudaErrorNotPermitted;
    return memcpy((void *)&symbol, source, size), cudaSuccess;
}

static inline cudaError_t cudaStreamCreate(cudaStream_t *stream) { return *stream = new stub_stream(), cudaSuccess; }
static inline cudaError_t cudaStreamSynchronize(const cudaStream_t stream)
{
    return stream->capturing ? cudaErrorNotPermitted : cudaSuccess;
}

static inline cudaError_t stub_run(const stub_launch &one, const int together)
{
    const int64_t arguments[1] = {one.argument};
    return snn_shim_launch((void *)one.function, one.grid, one.block, arguments, 1, together) ? cudaErrorLaunchFailure : cudaSuccess;
}

static inline stub_launch stub_made(const void *function, const dim3 grid, const dim3 block, void **arguments)
{
    return {function, grid.x, block.x, arguments[0] == nullptr ? 0 : *(const long long *)arguments[0]};
}

static inline cudaError_t cudaLaunchKernel(const void *function, const dim3 grid, const dim3 block, void **arguments, size_t,
                                           const cudaStream_t stream)
{
    const stub_launch one = stub_made(function, grid, block, arguments);
    if (!stream->capturing) return stub_run(one, 0);
    stream->captured.launches.push_back(one);
    return cudaSuccess;
}

static inline cudaError_t cudaLaunchCooperativeKernel(const void *function, const dim3 grid, const dim3 block, void **arguments, size_t,
                                                      const cudaStream_t stream)
{
    if (stream->capturing || grid.x > STUB_PROCESSORS*STUB_BLOCKS_EACH) return cudaErrorNotPermitted;
    return stub_run(stub_made(function, grid, block, arguments), 1);
}

static inline cudaError_t cudaStreamBeginCapture(const cudaStream_t stream, cudaStreamCaptureMode)
{
    stream->captured.launches.clear();
    stub_capturing = stream->capturing = true;
    return cudaSuccess;
}

static inline cudaError_t cudaStreamEndCapture(const cudaStream_t stream, cudaGraph_t *graph)
{
    stub_capturing = stream->capturing = false;
    *graph = new stub_graph(stream->captured);
    return cudaSuccess;
}

static inline cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t *made, const cudaGraph_t graph, unsigned long long)
{
    return *made = new stub_graph(*graph), cudaSuccess;
}

static inline cudaError_t cudaGraphDestroy(const cudaGraph_t graph) { return delete graph, cudaSuccess; }

static inline cudaError_t cudaGraphLaunch(const cudaGraphExec_t graph, cudaStream_t)
{
    for (const stub_launch &one : graph->launches)
        if (stub_run(one, 0) != cudaSuccess) return cudaErrorLaunchFailure;
    return cudaSuccess;
}

#endif
