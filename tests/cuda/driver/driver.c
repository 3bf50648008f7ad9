/* A stand-in for the CUDA driver, libcuda.so.1, for tests without a device.

   Device memory is the host's. Copies are made; kernels are handed to a function of the test. Work in a stream is done
   as late as CUDA allows, when somebody waits for it, so that what relies on more order than there is goes wrong here;
   FAKE_CUDA_EAGER=1 does work of blocking streams at once instead, 2 that of others, 3 all of it. What is freed is
   overwritten. FAKE_CUDA_LOG is the file that calls are noted in, FAKE_CUDA_DEVICES how many devices there are, and
   FAKE_CUDA_FAIL a function that fails. Threads are let in one by one: who waits for work that another one does waits
   for that. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef int R;
typedef unsigned int U;
enum { INVALID = 1, NOT_INITIALISED = 3, NO_DEVICE = 101, NO_CONTEXT = 201, NOT_FOUND = 500, FAILED = 900 };
enum { COPY, SET, KERNEL, RECORD, WAIT, GRAPH, CALL };

typedef struct Event { long recorded, reached; struct Stream *stream; } Event;
typedef struct Op {
  int kind;
  char *to;
  const char *from;
  char *staged;
  size_t size;
  int value;
  const char *name;
  int64_t arguments[2];
  U blocks, threads;
  Event *event;
  long number;
  struct Graph *graph;
  void (*call)(const void *);
  struct Op *next;
} Op;
typedef struct Graph { Op *first, **last; int nodes; } Graph;
typedef struct Stream { Op *first, **last; int number, blocking; Graph *recording; } Stream;
typedef struct Block { char *start; size_t size; int pinned, device; struct Block *next; } Block;
typedef struct Kernel { char *name; } Kernel;

static Stream *streams[64];
static int n_streams = 0;
static long counter = 0;
static Block *blocks = 0;
static int contexts[16];
static __thread int *stack[64];
static __thread int depth = 0;
static void (*launcher)(const char *, int64_t, int64_t, U, U) = 0;

static pthread_mutex_t gate = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP; /* recursive: kernels, in Python, may call here */
static void leave(int *entered) { if (!*entered) pthread_mutex_unlock(&gate); }
#define ALONE __attribute__((cleanup(leave))) int entered = pthread_mutex_lock(&gate)

void fake_set_launcher(void *function) { launcher = function; }

static void note(const char *format, ...) {
  const char *path = getenv("FAKE_CUDA_LOG");
  if (!path) return;
  FILE *out = fopen(path, "a");
  va_list arguments;
  va_start(arguments, format);
  vfprintf(out, format, arguments);
  va_end(arguments);
  fputc('\n', out);
  fclose(out);
}

static int fails(const char *name) {
  const char *wanted = getenv("FAKE_CUDA_FAIL");
  return wanted && !strcmp(wanted, name);
}

static int devices(void) {
  const char *n = getenv("FAKE_CUDA_DEVICES");
  return n ? atoi(n) : 1;
}

/* memory */

static Block *block_of(const void *p) {
  for (Block *b = blocks; b; b = b->next)
    if ((const char *)p >= b->start && (const char *)p < b->start + b->size) return b;
  return 0;
}

static char *allocate(size_t size, int pinned) {
  Block *b = malloc(sizeof *b);
  b->start = aligned_alloc(256, (size + 255) / 256 * 256);
  memset(b->start, 0xA5, size);
  b->size = size;
  b->pinned = pinned;
  b->device = depth ? (int)(stack[depth - 1] - contexts) : 0;
  b->next = blocks;
  blocks = b;
  return b->start;
}

static R release(void *p) {
  for (Block **b = &blocks; *b; b = &(*b)->next)
    if ((*b)->start == p) {
      memset((*b)->start, 0xDD, (*b)->size); /* and keep it: who uses it reads nonsense, not what another put there */
      *b = (*b)->next;
      return 0;
    }
  return INVALID;
}

/* streams */

static void drain(Stream *s);
static void perform(Op *op);

static void reach(Event *e, long number) {
  while (e->reached < number && e->stream && e->stream->first) {
    Stream *s = e->stream;
    Op *op = s->first;
    s->first = op->next;
    if (!s->first) s->last = &s->first;
    op->next = 0;

    perform(op);
  }
}

static void perform(Op *op) {
  switch (op->kind) {
    case COPY: memcpy(op->to, op->staged ? op->staged : op->from, op->size); break;
    case SET: memset(op->to, op->value, op->size); break;
    case KERNEL:
      if (launcher) launcher(op->name, op->arguments[0], op->arguments[1], op->blocks, op->threads);
      break;
    case RECORD: if (op->event->reached < op->number) op->event->reached = op->number; break;
    case WAIT: reach(op->event, op->number); break;
    case CALL: op->call(op->from); break;
    case GRAPH: for (Op *one = op->graph->first; one; one = one->next) perform(one); break;
  }
}

static void drain(Stream *s) {
  while (s->first) {
    Op *op = s->first;
    s->first = op->next;
    if (!s->first) s->last = &s->first;
    perform(op);
  }
}

static Stream *stream(void *handle) {
  if ((uintptr_t)handle > 2) return handle;
  for (int k = 0; k < n_streams; k++) if (streams[k]->blocking) drain(streams[k]);
  return 0; /* the legacy default stream: at once, behind all that is in blocking ones */
}

static R put(void *handle, Op op, const char *what, size_t size) {
  ALONE;
  Stream *s = stream(handle);
  Op *made = malloc(sizeof op);
  *made = op;
  made->next = 0;
  if (s && s->recording) {
    *s->recording->last = made;
    s->recording->last = &made->next;
    s->recording->nodes++;
    note("record %s %zu", what, size);
    return 0;
  }
  note("%s %zu s%d", what, size, s ? s->number : 0);
  int eager = getenv("FAKE_CUDA_EAGER") ? atoi(getenv("FAKE_CUDA_EAGER")) : 0;
  if (!s) { perform(made); return 0; }
  *s->last = made;
  s->last = &made->next;
  if (eager & (s->blocking ? 1 : 2)) drain(s);
  return 0;
}

/* for the stand-in for cuBLAS: work of another kind, done when its turn comes, as often as it is launched */
R fake_put(void *handle, void (*call)(const void *), const void *data, const char *what, size_t size) {
  Op op = {CALL, 0, data};
  op.call = call;
  return put(handle, op, what, size);
}
int fake_is_on_device(const void *p, size_t size) {
  ALONE;
  Block *b = block_of(p);
  return b && !b->pinned && (const char *)p + size <= b->start + b->size;
}
void fake_note(const char *text) { note("%s", text); }

static R cuInit(U flags) { return 0; }
R cuDriverGetVersion(int *v) { *v = 12090; return 0; }
static R cuDeviceGetCount(int *n) { *n = devices(); return 0; }
static R cuDeviceGet(int *d, int k) { if (k >= devices()) return NO_DEVICE; *d = k; return 0; }
static R cuDeviceGetName(char *s, int n, int d) { snprintf(s, n, "Stand-in %d", d); return 0; }
static R cuDeviceGetUuid(void *u, int d) { memset(u, d, 16); return 0; }
static R cuDeviceTotalMem(size_t *n, int d) { *n = (size_t)1 << 34; return 0; }
static R cuDeviceGetAttribute(int *v, int a, int d) { /* 75, 76: compute capability 9.0; 16: processors */
  *v = a == 75 ? 9 : a == 76 ? 0 : a == 16 ? 132 : a == 1 ? 1024 : a == 10 ? 32 : a == 41 || a == 19;
  return 0;
}
static R cuDevicePrimaryCtxRetain(int **c, int d) { *c = &contexts[d]; return 0; }
static R cuDevicePrimaryCtxRelease(int d) { return 0; }
static R cuCtxGetCurrent(int **c) { *c = depth ? stack[depth - 1] : 0; return 0; }
static R cuCtxSetCurrent(int *c) {
  if (!c) { if (depth) depth--; }
  else if (depth) stack[depth - 1] = c;
  else stack[depth++] = c;
  return 0;
}
static R cuCtxPushCurrent(int *c) { stack[depth++] = c; return 0; }
static R cuCtxPopCurrent(int **c) {
  if (!depth) return NO_CONTEXT;
  int *gone = stack[--depth];
  if (c) *c = gone;
  return 0;
}
static R cuCtxGetDevice(int *d) { if (!depth) return NO_CONTEXT; *d = (int)(stack[depth - 1] - contexts); return 0; }
static R cuCtxSynchronize(void) {
  ALONE;
  note("synchronise all");
  for (int k = 0; k < n_streams; k++) drain(streams[k]);
  return 0;
}
static R cuMemGetInfo(size_t *f, size_t *t) { *f = *t = (size_t)1 << 34; return 0; }
static R cuGetErrorName(int e, const char **s) { *s = "CUDA_ERROR_STAND_IN"; return 0; }
static R cuGetErrorString(int e, const char **s) { *s = "made to fail"; return 0; }

static R cuMemAlloc(char **p, size_t n) { ALONE; note("allocate %zu", n); *p = allocate(n, 0); return 0; }
static R cuMemFree(char *p) {
  ALONE;
  for (int k = 0; k < n_streams; k++) drain(streams[k]);
  note("free");
  return release(p);
}
static R cuMemHostAlloc(void **p, size_t n, U flags) { ALONE; note("pin %zu", n); *p = allocate(n, 1); return 0; }
static R cuMemFreeHost(void *p) { ALONE; note("unpin"); return release(p); }
static R cuPointerGetAttribute(int *v, int attribute, char *p) {
  ALONE;
  Block *b = block_of(p);
  if (!b || b->pinned) return INVALID;
  *v = b->device;
  return 0;
}

static R cuMemcpyHtoDAsync(char *to, const char *from, size_t n, void *s) {
  ALONE;
  Op op = {COPY, to, from};
  op.size = n;
  Block *b = block_of(from);
  if (!b || !b->pinned) { /* the driver stages it before it returns */
    op.staged = malloc(n);
    memcpy(op.staged, from, n);
  }
  return put(s, op, b && b->pinned ? "copy in pinned" : "copy in", n);
}
static R cuMemcpyDtoHAsync(char *to, const char *from, size_t n, void *s) {
  ALONE;
  Op op = {COPY, to, from};
  op.size = n;
  Block *b = block_of(to);
  R code = put(s, op, b && b->pinned ? "copy out pinned" : "copy out", n);
  Stream *one = stream(s);
  if ((!b || !b->pinned) && one && !one->recording) drain(one);
  return code;
}
static R cuMemsetD8Async(char *to, unsigned char value, size_t n, void *s) {
  Op op = {SET, to};
  op.value = value;
  op.size = n;
  return put(s, op, "set", n);
}

static R cuStreamCreate(Stream **made, U flags) {
  ALONE;
  Stream *s = calloc(1, sizeof *s);
  s->last = &s->first;
  s->blocking = !(flags & 1);
  streams[n_streams++] = s;
  s->number = n_streams;
  note("stream s%d %s", s->number, s->blocking ? "blocking" : "non-blocking");
  *made = s;
  return 0;
}
static R cuStreamDestroy(Stream *s) { return 0; }
static R cuStreamSynchronize(void *handle) {
  ALONE;
  Stream *s = stream(handle);
  note("synchronise s%d", s ? s->number : 0);
  if (s) drain(s);
  return 0;
}
static R cuStreamWaitEvent(void *handle, Event *e, U flags) {
  ALONE;
  Op op = {WAIT};
  op.event = e;
  op.number = e->recorded;
  return put(handle, op, "wait", 0);
}
static R cuEventCreate(Event **e, U flags) { *e = calloc(1, sizeof(Event)); return 0; }
static R cuEventDestroy(Event *e) { return 0; }
static R cuEventRecord(Event *e, void *handle) {
  ALONE;
  Stream *s = stream(handle);
  Op op = {RECORD};
  op.event = e;
  op.number = e->recorded = ++counter;
  e->stream = s;
  return put(handle, op, "event", 0);
}
static R cuEventSynchronize(Event *e) { ALONE; note("synchronise event"); reach(e, e->recorded); return 0; }
static R cuEventElapsedTime(float *ms, Event *a, Event *b) { *ms = 1; return 0; }

static R cuStreamBeginCapture(Stream *s, int mode) {
  ALONE;
  note("begin recording s%d mode %d", s->number, mode);
  if (fails("cuStreamBeginCapture")) return FAILED;
  s->recording = calloc(1, sizeof(Graph));
  s->recording->last = &s->recording->first;
  return 0;
}
static R cuStreamEndCapture(Stream *s, Graph **graph) {
  ALONE;
  *graph = s->recording;
  s->recording = 0;
  note("end recording");
  if (fails("cuStreamEndCapture")) { *graph = 0; return FAILED; }
  return 0;
}
static R cuStreamIsCapturing(Stream *s, int *status) { *status = (uintptr_t)s > 2 && s->recording ? 1 : 0; return 0; }
static R cuGraphInstantiate(Graph **exec, Graph *graph, unsigned long long flags) {
  note("instantiate %d", graph->nodes);
  if (fails("cuGraphInstantiate")) return FAILED;
  *exec = graph;
  return 0;
}
static R cuGraphDestroy(Graph *g) { return 0; }
static R cuGraphExecDestroy(Graph *g) { note("graph destroyed"); return 0; }
static R cuGraphLaunch(Graph *g, void *s) {
  if (fails("cuGraphLaunch")) return FAILED;
  Op op = {GRAPH};
  op.graph = g;
  return put(s, op, "graph", g->nodes);
}

static R cuLibraryLoadData(void **library, const void *code, void *a, void *b, U c, void *d, void *e, U f) {
  *library = malloc(1);
  note("load");
  return 0;
}
static R cuLibraryUnload(void *library) { return 0; }
static R cuLibraryGetKernel(Kernel **k, void *library, const char *name) {
  *k = malloc(sizeof **k);
  (*k)->name = strdup(name);
  return 0;
}
static R cuKernelGetFunction(void **f, Kernel *k) { *f = k; return 0; }
static R cuKernelGetAttribute(int *v, int attribute, Kernel *k, int d) { *v = attribute == 0 ? 1024 : 0; return 0; }
static R cuFuncGetAttribute(int *v, int attribute, Kernel *k) { *v = attribute == 0 ? 1024 : 0; return 0; }
typedef struct { U grid[3], block[3], shared; void *stream; void *attributes; U count; } Launch;
static R cuLaunchKernelEx(const Launch *l, Kernel *k, void **parameters, void **extra) {
  Op op = {KERNEL};
  op.name = k->name;
  op.arguments[0] = *(int64_t *)parameters[0];
  op.arguments[1] = *(int64_t *)parameters[1];
  op.blocks = l->grid[0];
  op.threads = l->block[0];
  return put(l->stream, op, "kernel", l->grid[0]);
}

#define F(name) {#name, (void *)name}
static struct { const char *name; void *function; } functions[] = {
    F(cuInit), F(cuDriverGetVersion), F(cuDeviceGetCount), F(cuDeviceGet), F(cuDeviceGetName), F(cuDeviceGetUuid),
    F(cuDeviceTotalMem), F(cuDeviceGetAttribute), F(cuDevicePrimaryCtxRetain), F(cuDevicePrimaryCtxRelease),
    F(cuCtxGetCurrent), F(cuCtxSetCurrent), F(cuCtxPushCurrent), F(cuCtxPopCurrent), F(cuCtxGetDevice),
    F(cuCtxSynchronize), F(cuMemGetInfo), F(cuGetErrorName), F(cuGetErrorString), F(cuMemAlloc), F(cuMemFree),
    F(cuMemHostAlloc), F(cuMemFreeHost), F(cuPointerGetAttribute), F(cuMemcpyHtoDAsync), F(cuMemcpyDtoHAsync),
    F(cuMemsetD8Async), F(cuStreamCreate), F(cuStreamDestroy), F(cuStreamSynchronize), F(cuStreamWaitEvent),
    F(cuEventCreate), F(cuEventDestroy), F(cuEventRecord), F(cuEventSynchronize), F(cuEventElapsedTime),
    F(cuStreamBeginCapture), F(cuStreamEndCapture), F(cuStreamIsCapturing), F(cuGraphInstantiate), F(cuGraphDestroy),
    F(cuGraphExecDestroy), F(cuGraphLaunch), F(cuLibraryLoadData), F(cuLibraryUnload), F(cuLibraryGetKernel),
    F(cuKernelGetFunction), F(cuKernelGetAttribute), F(cuFuncGetAttribute), F(cuLaunchKernelEx),
    {"cuGraphInstantiateWithFlags", (void *)cuGraphInstantiate},
};

R cuGetProcAddress_v2(const char *name, void **found, int version, uint64_t flags, int *status) {
  *found = 0;
  for (unsigned k = 0; k < sizeof functions / sizeof *functions; k++)
    if (!strcmp(name, functions[k].name)) *found = functions[k].function;
  if (!strncmp(name, "cuGetProcAddress", 16)) *found = (void *)cuGetProcAddress_v2;
  if (status) *status = *found ? 0 : 1;
  return *found ? 0 : NOT_FOUND;
}
