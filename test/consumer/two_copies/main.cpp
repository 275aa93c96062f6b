#include <cstdio>

extern "C" const void* engine_copy();
extern "C" const void* plugin_copy();

int main() {
  const void* engine = engine_copy();
  const void* plugin = plugin_copy();
  std::printf("copies at %p and %p\n", engine, plugin);
  if (engine == nullptr || plugin == nullptr) return 1;
  return engine == plugin ? 2 : 0;
}
