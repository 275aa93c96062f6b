#pragma once

// Symbol visibility. Everything is hidden unless marked, so that a host that loads two libraries with mcomp inside
// sees no clash. MCOMP_STATIC_DEFINE is set by the static build's own CMake target.

#if defined(MCOMP_STATIC_DEFINE)
#define MCOMP_API
#define MCOMP_KERNELS_API
#define MCOMP_WORKFLOW_API
#elif defined(_WIN32)
#if defined(mcomp_core_EXPORTS)
#define MCOMP_API __declspec(dllexport)
#else
#define MCOMP_API __declspec(dllimport)
#endif
#if defined(mcomp_kernels_EXPORTS)
#define MCOMP_KERNELS_API __declspec(dllexport)
#else
#define MCOMP_KERNELS_API __declspec(dllimport)
#endif
#if defined(mcomp_workflow_EXPORTS)
#define MCOMP_WORKFLOW_API __declspec(dllexport)
#else
#define MCOMP_WORKFLOW_API __declspec(dllimport)
#endif
#else
#define MCOMP_API __attribute__((visibility("default")))
#define MCOMP_KERNELS_API __attribute__((visibility("default")))
#define MCOMP_WORKFLOW_API __attribute__((visibility("default")))
#endif
