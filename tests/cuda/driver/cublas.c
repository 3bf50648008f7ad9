/* A stand-in for cuBLAS, libcublas.so.12, beside that for the driver (driver.c): products are computed, on the memory
   of the device as it is when their turn comes.

   What a call is given is what it keeps: recorded, it finds the same addresses every time it is launched. Only "batched"
   calls read addresses of matrices from the device, as late as that. As in cuBLAS, setting the stream takes away the
   memory to work in that was given; a call without it, with one that starts at no multiple of 256, or with addresses
   that are not the device's is noted as wrong, and computes nothing. FAKE_CUBLAS_FAIL is a function that fails. */
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef int R;
typedef struct Handle { void *stream; char *workspace; size_t size; int mode; } Handle;
typedef struct Product {
  char type;
  int listed, y_transposed, x_transposed;
  int64_t m, n, k, lda, ldb, ldc, a_stride, b_stride, c_stride, count;
  const char *a, *b;
  char *c;
} Product;

extern R fake_put(void *, void (*)(const void *), const void *, const char *, size_t);
extern int fake_is_on_device(const void *, size_t);
extern void fake_note(const char *);

static int fails(const char *name) {
  const char *wanted = getenv("FAKE_CUBLAS_FAIL");
  return wanted && !strcmp(wanted, name);
}

static void say(const char *format, ...) {
  char text[300];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  fake_note(text);
}

/* whether a matrix of so many columns, `step` apart, stands on the device */
static int there(const void *p, int64_t rows, int64_t columns, int64_t step, int width) {
  return step >= rows && fake_is_on_device(p, ((columns - 1) * step + rows) * width);
}

static double at(const char *a, char type, int64_t k) {
  return type == 's' ? ((const float *)a)[k] : ((const double *)a)[k];
}

/* one product, column by column: c[m, n] = op(a)[m, k] @ op(b)[k, n] */
static void compute(const Product *p, const char *a, const char *b, char *c) {
  int width = p->type == 's' ? 4 : 8, ta = p->y_transposed, tb = p->x_transposed;
  if (!there(a, ta ? p->k : p->m, ta ? p->m : p->k, p->lda, width) ||
      !there(b, tb ? p->n : p->k, tb ? p->k : p->n, p->ldb, width) || !there(c, p->m, p->n, p->ldc, width)) {
    say("wrong: a matrix that is not on the device");
    return;
  }
  for (int64_t j = 0; j < p->n; j++)
    for (int64_t i = 0; i < p->m; i++) {
      double sum = 0;
      for (int64_t q = 0; q < p->k; q++)
        sum += at(a, p->type, ta ? i * p->lda + q : q * p->lda + i) * at(b, p->type, tb ? q * p->ldb + j : j * p->ldb + q);
      if (p->type == 's') ((float *)c)[j * p->ldc + i] = sum;
      else ((double *)c)[j * p->ldc + i] = sum;
    }
}

static void perform(const void *data) {
  const Product *p = data;
  int width = p->type == 's' ? 4 : 8;
  if (p->listed && !(fake_is_on_device(p->a, 8 * p->count) && fake_is_on_device(p->b, 8 * p->count) &&
                     fake_is_on_device(p->c, 8 * p->count))) {
    say("wrong: addresses that are not on the device");
    return;
  }
  for (int64_t k = 0; k < p->count; k++)
    if (p->listed) compute(p, ((const char **)p->a)[k], ((const char **)p->b)[k], ((char **)p->c)[k]);
    else compute(p, p->a + k * p->a_stride * width, p->b + k * p->b_stride * width, p->c + k * p->c_stride * width);
}

static R multiply(Handle *h, Product product, const char *name) {
  if (fails(name)) return 13; /* CUBLAS_STATUS_EXECUTION_FAILED */
  if (!h->workspace || (uintptr_t)h->workspace % 256 || !fake_is_on_device(h->workspace, h->size)) {
    say("wrong: no memory to work in for %s", name);
    return 0;
  }
  if (h->mode != (product.type == 's' ? 2 : 0)) say("wrong: mode %d for %s", h->mode, name);
  Product *p = malloc(sizeof *p);
  *p = product;
  char what[80];
  snprintf(what, sizeof what, "%s %dx%dx%d", name, (int)p->n, (int)p->m, (int)p->k);
  return fake_put(h->stream, perform, p, what, p->count);
}

R cublasCreate_v2(Handle **h) {
  if (fails("cublasCreate")) return 1; /* CUBLAS_STATUS_NOT_INITIALIZED */
  say("cublas");
  *h = calloc(1, sizeof **h);
  return 0;
}
R cublasGetProperty(int which, int *value) { *value = which == 0 ? 12 : which; return 0; }
R cublasSetStream_v2(Handle *h, void *stream) { h->stream = stream; h->workspace = 0; return 0; }
R cublasSetWorkspace_v2(Handle *h, void *p, size_t size) { h->workspace = p; h->size = size; return 0; }
R cublasSetMathMode(Handle *h, int mode) { h->mode = mode; return 0; }

#define FUNCTIONS(letter, type, prefix) \
  R cublas##letter##gemm_v2_64(Handle *h, int ta, int tb, int64_t m, int64_t n, int64_t k, const type *alpha, \
      void *a, int64_t lda, void *b, int64_t ldb, const type *beta, void *c, int64_t ldc) { \
    if (*alpha != 1 || *beta != 0) return 7; \
    return multiply(h, (Product){prefix, 0, ta, tb, m, n, k, lda, ldb, ldc, 0, 0, 0, 1, a, b, c}, #letter "gemm"); \
  } \
  R cublas##letter##gemmStridedBatched_64(Handle *h, int ta, int tb, int64_t m, int64_t n, int64_t k, \
      const type *alpha, void *a, int64_t lda, long long sa, void *b, int64_t ldb, long long sb, const type *beta, \
      void *c, int64_t ldc, long long sc, int64_t count) { \
    if (*alpha != 1 || *beta != 0) return 7; \
    return multiply(h, (Product){prefix, 0, ta, tb, m, n, k, lda, ldb, ldc, sa, sb, sc, count, a, b, c}, \
                    #letter "gemmStridedBatched"); \
  } \
  R cublas##letter##gemmBatched_64(Handle *h, int ta, int tb, int64_t m, int64_t n, int64_t k, const type *alpha, \
      void *a, int64_t lda, void *b, int64_t ldb, const type *beta, void *c, int64_t ldc, int64_t count) { \
    if (*alpha != 1 || *beta != 0) return 7; \
    return multiply(h, (Product){prefix, 1, ta, tb, m, n, k, lda, ldb, ldc, 0, 0, 0, count, a, b, c}, \
                    #letter "gemmBatched"); \
  }
FUNCTIONS(S, float, 's')
FUNCTIONS(D, double, 'd')
