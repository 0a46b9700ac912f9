//! What is right and wrong in FrameworkInfo, TaskInfo, ExecutorInfo, offers and resources.
