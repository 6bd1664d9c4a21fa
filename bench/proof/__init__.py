"""The parts of `bench/orchestration.py`: data, temporary HQs, arms, figures, repairer, faults, chains."""
