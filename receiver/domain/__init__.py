"""What is true of tasks, reports and results, whoever stores or serves them; standard library only, no clock."""
