/* Vectors as wide as this processor's registers. */

#if defined(__AVX512F__)
#define VECTOR 64
#elif defined(__AVX__)
#define VECTOR 32
#else
#define VECTOR 16
#endif
typedef real vec __attribute__((vector_size(VECTOR), aligned(VECTOR)));
typedef real vec_any __attribute__((vector_size(VECTOR), aligned(sizeof(real)), may_alias));
#define WIDTH ((int64_t)(VECTOR/sizeof(real)))
